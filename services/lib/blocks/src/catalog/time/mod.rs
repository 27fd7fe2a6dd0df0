//! Clocks and timers.

mod clock;
mod countdown_timer;
mod moment_format;

use std::sync::Arc;

use crate::block::Block;

pub(super) fn all() -> Vec<Arc<dyn Block>> {
    vec![
        Arc::new(clock::Clock::time()),
        Arc::new(clock::Clock::date()),
        Arc::new(clock::Clock::date_and_time()),
        Arc::new(countdown_timer::CountdownTimer::new()),
    ]
}

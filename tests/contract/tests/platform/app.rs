//! One `app` process for all tests of this file.

use std::sync::OnceLock;

use contract_tests::app::App;

/// The app, started by whoever asks first.
pub fn app() -> &'static App {
    static APP: OnceLock<App> = OnceLock::new();
    // Tests have a runtime each: the start gets one of its own, outside of theirs.
    APP.get_or_init(|| {
        let start = || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(App::start(&[("ENABLE_METRICS", "true")]))
        };
        std::thread::spawn(start).join().expect("the app starts")
    })
}

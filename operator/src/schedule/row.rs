//! What is known of every schedule without opening it.

use crds::GraphSchedule;
use kube::ResourceExt;

use crate::runtime::kept::Keep;
use crate::schedule::spec;

/// See [`Keep::facts`].
#[derive(Debug, Clone, Default)]
pub struct ScheduleFacts {
    /// The platform that it names.
    pub platform: Box<str>,
    pub uid: Box<str>,
}

impl Keep for GraphSchedule {
    type Facts = ScheduleFacts;

    fn slim(&mut self) {
        spec::slim(self);
    }

    fn facts(&self) -> ScheduleFacts {
        ScheduleFacts {
            platform: self.spec.platform_ref.name.as_str().into(),
            uid: self.uid().unwrap_or_default().into(),
        }
    }
}

//! Which path leads to which Service: the same behind an Ingress and behind a Gateway.

use super::frontend;
use crate::platform::component::Component;
use crate::platform::validate::Validated;

/// A path, and the Service and port behind everything below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    pub path: &'static str,
    pub service: String,
    pub port: i32,
}

/// The doors of a platform. The longest path wins. The frontend passes its browser's calls on under `/api/proxy` (rest.md §3.5), so that
/// one is not the API's.
pub fn doors(platform: &Validated) -> Vec<Door> {
    let to = |path: &'static str, component: Component| Door {
        path,
        service: platform.names.component(component),
        port: component.port(),
    };
    let mut doors = vec![
        to("/api", Component::Rest),
        to("/auth/v1", Component::Rest),
        to("/external-api", Component::Rest),
        to("/ws", Component::Websocket),
    ];
    if platform.spec.frontend.is_some() {
        doors.extend(["/api/proxy", "/"].map(|path| Door {
            path,
            service: platform.names.frontend(),
            port: frontend::PORT,
        }));
    } else {
        doors.push(to("/", Component::Rest));
    }
    doors
}

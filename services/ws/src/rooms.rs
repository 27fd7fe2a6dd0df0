//! Who hears what: a room per topic, subscribed to its Redis channel while somebody is in it.
//!
//! Each event is turned into a frame once, whatever the number of connections that get it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use model::{GraphExecId, GraphId, UserId};
use tokio::sync::OnceCell;
use tokio_util::task::AbortOnDropHandle;

use crate::outbox::Outbox;
use crate::resync::Resync;
use crate::source::{Heard, Source, Subscription};

/// What there is to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A run and its nodes.
    Execution {
        user_id: UserId,
        graph_id: GraphId,
        graph_exec_id: GraphExecId,
        /// Whether the frames say where in the run's journal they belong.
        numbered: bool,
    },
    /// The runs of a graph, without their nodes.
    Graph { user_id: UserId, graph_id: GraphId },
    /// What concerns a user beside runs.
    Notifications { user_id: UserId },
}

/// All rooms of the process. Clones share them.
#[derive(Clone)]
pub struct Rooms(Arc<Shared>);

struct Shared {
    source: Source,
    resync: Resync,
    rooms: Mutex<HashMap<Topic, Arc<Room>>>,
}

struct Room {
    members: Mutex<Members>,
    /// Set once Redis has confirmed the subscription; dropping it ends that.
    pump: OnceCell<AbortOnDropHandle<()>>,
}

#[derive(Default)]
struct Members {
    next: u64,
    outboxes: HashMap<u64, Outbox>,
}

/// Being in a room; dropping it leaves.
pub struct Membership {
    shared: Arc<Shared>,
    topic: Topic,
    room: Arc<Room>,
    number: u64,
}

impl Rooms {
    pub fn new(source: Source, resync: Resync) -> Self {
        Self(Arc::new(Shared {
            source,
            resync,
            rooms: Mutex::default(),
        }))
    }

    pub fn resync(&self) -> &Resync {
        &self.0.resync
    }

    /// What happens after this returns is heard, or made good for when Redis was away.
    pub async fn join(&self, topic: Topic, outbox: &Outbox) -> Membership {
        let membership = self.enter(topic, outbox);
        let room = membership.room.clone();
        room.pump.get_or_init(|| self.start(topic, &room)).await;
        membership
    }

    fn enter(&self, topic: Topic, outbox: &Outbox) -> Membership {
        let mut rooms = lock(&self.0.rooms);
        let room = rooms.entry(topic).or_insert_with(|| {
            Arc::new(Room {
                members: Mutex::default(),
                pump: OnceCell::new(),
            })
        });
        let number = lock(&room.members).add(outbox.clone());
        Membership {
            shared: self.0.clone(),
            topic,
            room: room.clone(),
            number,
        }
    }

    async fn start(&self, topic: Topic, room: &Arc<Room>) -> AbortOnDropHandle<()> {
        let subscription = self.0.source.subscribe(topic).await;
        // The pump must not keep its own room alive.
        let pump = pump(topic, subscription, Arc::downgrade(room), self.0.resync.clone());
        AbortOnDropHandle::new(tokio::spawn(pump))
    }
}

/// Hands every event of the topic to the members of its room.
async fn pump(topic: Topic, mut subscription: Subscription, room: Weak<Room>, resync: Resync) {
    loop {
        let frames = match subscription.next().await {
            Heard::Frame(frame) => vec![frame],
            // Boxed: it is seldom, and every room would have room for it.
            Heard::Gap => Box::pin(resync.frames(&topic)).await,
        };
        let Some(room) = room.upgrade() else { return };
        let members = lock(&room.members);
        for frame in frames {
            members.outboxes.values().for_each(|outbox| outbox.push(frame.clone()));
        }
    }
}

impl Members {
    fn add(&mut self, outbox: Outbox) -> u64 {
        self.next += 1;
        self.outboxes.insert(self.next, outbox);
        self.next
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut rooms = lock(&self.shared.rooms);
        let empty = {
            let mut members = lock(&self.room.members);
            members.outboxes.remove(&self.number);
            members.outboxes.is_empty()
        };
        // Nobody can enter while the map is locked, and a room that was left before is not in the map any more.
        if empty && rooms.get(&self.topic).is_some_and(|room| Arc::ptr_eq(room, &self.room)) {
            rooms.remove(&self.topic);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Who hears what: a room per topic, subscribed to its Redis channel while somebody is in it.
//!
//! Each event is turned into a frame once, whatever the number of connections that get it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use model::{GraphExecId, GraphId, UserId};
use tokio::sync::OnceCell;
use tokio_util::task::AbortOnDropHandle;

use crate::abreast::Abreast;
use crate::outbox::{Item, Outbox};
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
    abreast: Arc<Abreast>,
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

impl Membership {
    pub fn topic(&self) -> Topic {
        self.topic
    }
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
                abreast: Arc::default(),
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
        let pump = Pump {
            topic,
            room: Arc::downgrade(room),
            shared: Arc::downgrade(&self.0),
            abreast: room.abreast.clone(),
        };
        AbortOnDropHandle::new(tokio::spawn(pump.run(subscription, self.0.resync.clone())))
    }
}

impl Shared {
    /// How far the rooms of a run are, of those that somebody is in.
    fn rooms_of_run(&self, graph: &Topic, graph_exec_id: GraphExecId) -> Vec<Arc<Abreast>> {
        let Topic::Graph { user_id, graph_id } = *graph else {
            return Vec::new();
        };
        let topic = |numbered| Topic::Execution {
            user_id,
            graph_id,
            graph_exec_id,
            numbered,
        };
        let rooms = lock(&self.rooms);
        let found = [false, true].into_iter().filter_map(|numbered| rooms.get(&topic(numbered)));
        found.map(|room| room.abreast.clone()).collect()
    }
}

/// Hands every event of the topic to the members of its room.
struct Pump {
    topic: Topic,
    /// The pump must not keep its own room alive, nor the others.
    room: Weak<Room>,
    shared: Weak<Shared>,
    abreast: Arc<Abreast>,
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.abreast.follow(false);
    }
}

impl Pump {
    async fn run(self, mut subscription: Subscription, resync: Resync) {
        self.abreast.follow(true);
        loop {
            let heard = tokio::select! {
                // Who asks is answered when nothing is left.
                biased;
                heard = subscription.next() => heard,
                () = self.abreast.asked() => {
                    self.abreast.answer();
                    continue;
                }
            };
            let item = match heard {
                Heard::Frame { frame, run } => {
                    if let Some(run) = run {
                        self.let_pass(run).await;
                    }
                    Item::Frame(frame)
                }
                Heard::Gap => {
                    self.abreast.follow(false);
                    // Boxed: it is seldom, and every room would have room for it.
                    let replay = Box::pin(resync.replay(&self.topic)).await;
                    self.abreast.follow(true);
                    Item::Replay(replay)
                }
            };
            let Some(room) = self.room.upgrade() else { return };
            room.hand_out(&item);
        }
    }

    /// Lets go ahead what the run's own rooms have received.
    async fn let_pass(&self, run: GraphExecId) {
        let Some(rooms) = self.shared.upgrade().map(|shared| shared.rooms_of_run(&self.topic, run)) else {
            return;
        };
        for abreast in rooms {
            abreast.reached().await;
        }
    }
}

impl Room {
    fn hand_out(&self, item: &Item) {
        let members = lock(&self.members);
        members.outboxes.values().for_each(|outbox| outbox.push(item.clone()));
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

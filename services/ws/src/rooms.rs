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
use crate::source::{Heard, Source, Subscription, Told};

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
    /// How far the other rooms are, of those that somebody is in, that tell of the run beside the room of `topic`.
    fn others_of_run(&self, topic: &Topic, run: GraphExecId) -> Vec<Arc<Abreast>> {
        let others = match *topic {
            Topic::Graph { user_id, graph_id } => {
                let topic = |numbered| Topic::Execution {
                    user_id,
                    graph_id,
                    graph_exec_id: run,
                    numbered,
                };
                [Some(topic(false)), Some(topic(true))]
            }
            Topic::Execution { user_id, graph_id, .. } => [Some(Topic::Graph { user_id, graph_id }), None],
            Topic::Notifications { .. } => [None, None],
        };
        let rooms = lock(&self.rooms);
        let found = others.into_iter().flatten().filter_map(|topic| rooms.get(&topic));
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
                    self.abreast.answer(|| subscription.is_empty());
                    continue;
                }
            };
            let place = subscription.place();
            self.abreast.takes(place);
            let item = match heard {
                Heard::Frame(Told { frame, run }) => {
                    if let Some(run) = run {
                        self.let_pass(run, place).await;
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

    /// Lets go ahead what other rooms that tell of the run have received before.
    async fn let_pass(&self, run: GraphExecId, place: u64) {
        let Some(others) = self.shared.upgrade().map(|shared| shared.others_of_run(&self.topic, run)) else {
            return;
        };
        for abreast in others {
            abreast.reached(place).await;
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

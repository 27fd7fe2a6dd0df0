//! What one look at a schedule finds and decides. Pure: the controller carries it out.

use chrono::{DateTime, TimeDelta, Utc};
use crds::GraphSchedule;
use crds::conditions::{self, GRAPH_USABLE};
use crds::schedule::GraphScheduleStatus;
use kube::ResourceExt;
use schedule::Calendar;
use schedule::decide::{Book, Due, End, Step, Wishes, step};

use crate::runtime::time;
use crate::schedule::family::{Family, Graph};
use crate::schedule::status::Standing;
use crate::schedule::{book, family, spec, status};

/// The outcome of a look.
pub struct Look {
    pub step: Step,
    pub book: Book,
    /// What else the status says, without the book.
    status: GraphScheduleStatus,
}

impl Look {
    /// The status to write.
    pub fn status(&self, schedule: &GraphSchedule) -> GraphScheduleStatus {
        let mut status = self.status.clone();
        book::write(&self.book, &schedule.name_any(), &schedule.uid().unwrap_or_default(), &mut status);
        status
    }
}

/// What the controller found beside the object.
pub struct Surroundings<'a> {
    pub family: &'a Family,
    /// Active runs whose execution is gone for certain.
    pub gone: &'a [Due],
    /// Whether the platform is there.
    pub platform: bool,
    /// Decisions of one step.
    pub most: usize,
}

/// Looks at a schedule.
pub fn look(schedule: &GraphSchedule, around: &Surroundings<'_>, now: DateTime<Utc>) -> Look {
    let before = schedule.status.clone().unwrap_or_default();
    let mut book = book::read(&before);
    if before.counters.is_none() {
        book.active.extend(around.family.unfinished(&book));
    }
    let mut graph = None;
    for due in book.active.clone() {
        if around.gone.contains(&due) {
            book.settle(&due, End::Neither);
            continue;
        }
        let Some(child) = around.family.get(&due) else { continue };
        graph = family::graph(schedule, child).or(graph);
        if let Some(end) = family::end(child) {
            book.settle(&due, end);
        }
    }
    let mut next = status::observed(schedule, graph.as_ref(), now);
    let calendar = match Calendar::parse(&spec::calendar(schedule)) {
        Ok(calendar) => calendar,
        Err(error) => {
            status::invalid(&mut next, schedule, &error, now);
            return Look {
                step: Step::default(),
                book,
                status: next,
            };
        }
    };
    next.calendar_hash = Some(spec::calendar_hash(&schedule.spec));
    let edited = spec::edited(schedule, now);
    // What was not due before the edit is not due afterwards either: the next look does not see that there was one.
    book.decided_through = book.decided_through.max(edited);
    let trouble = trouble(schedule, &next, graph.as_ref());
    let suspended = spec::suspended(&schedule.spec);
    let decides = around.platform || suspended.is_some();
    next.observed_write_time = spec::written(schedule).map(time::from_chrono);
    let step = if decides {
        let wishes = Wishes {
            policy: spec::policy(&schedule.spec),
            floor: edited.into_iter().fold(spec::created(schedule), DateTime::max),
            delay: TimeDelta::from_std(calendar.jitter()).unwrap_or_default(),
            suspended: suspended.clone(),
            // Nobody notes when spec.suspend was taken away; another write may be newer than the last look, and older than that.
            resumed: now,
            trouble: trouble.clone(),
            run_now: spec::run_now(schedule),
            backfills: spec::backfills(&schedule.spec),
            made: around.family.made(&book),
            most: around.most,
        };
        step(&mut book, &wishes, &calendar, now)
    } else {
        // Nothing is decided: when the platform comes, this is caught up with.
        Step::default()
    };
    let finished = schedule
        .spec
        .max_runs
        .is_some_and(|most| u64::try_from(most).is_ok_and(|most| book.runs >= most));
    let standing = Standing {
        paused: step.pause.clone(),
        suspended,
        trouble,
        platform: around.platform,
        finished,
        upcoming: upcoming(&calendar, now),
    };
    status::valid(&mut next, schedule, &standing, now);
    Look { step, book, status: next }
}

fn upcoming(calendar: &Calendar, now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let next = |instant| calendar.next_after(instant);
    std::iter::successors(next(now), |due| next(*due)).take(status::UPCOMING).collect()
}

/// Why no run can come of the graph, until the specification changes or a run is accepted.
fn trouble(schedule: &GraphSchedule, status: &GraphScheduleStatus, graph: Option<&Graph>) -> Option<String> {
    match graph {
        Some(Graph::Unusable(_, message)) => return Some(status::unusable(message)),
        Some(Graph::Usable | Graph::Refused(..)) => return None,
        None => {}
    }
    let condition = conditions::get(&status.conditions, GRAPH_USABLE)?;
    let holds = condition.status == "False"
        && condition.reason != conditions::reason::GRAPH_NOT_ACCESSIBLE
        && condition.observed_generation == schedule.metadata.generation;
    holds.then(|| status::unusable(&condition.message))
}

//! Many cases: random graphs in random interleavings. A failing case is made smaller, then told with its seed and its graph.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::chance::Chance;
use crate::machine::{self, Case};
use crate::shapes::Shape;

/// Attempts at making a failing shape smaller.
const SHRINK_AT_MOST: usize = 5_000;
/// Interleavings that are tried for each smaller shape.
const SCHEDULES: u64 = 40;

/// What a search found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub cases: u64,
    /// Graphs that the engine and the reference both refused to run.
    pub refused: u64,
    /// Cases whose end was compared with that of an undisturbed run too.
    pub confluent: u64,
    pub stopped: u64,
    pub crashes: u64,
    pub executions: u64,
    pub steps: u64,
    /// The first case that failed, told in full: the search ends there.
    pub failure: Option<String>,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            cases,
            refused,
            confluent,
            stopped,
            crashes,
            executions,
            steps,
            failure,
        } = self;
        write!(
            f,
            "{cases} cases ({confluent} with one end, {stopped} stopped, {refused} refused), {executions} node executions, {steps} steps, {crashes} crashes"
        )?;
        match failure {
            Some(failure) => write!(f, "\nFAILED {failure}"),
            None => write!(f, ": all as the reference says"),
        }
    }
}

/// Runs `cases` cases that follow from `seed`, or as many as pass.
pub fn run(cases: u64, seed: u64) -> Report {
    let mut report = Report::default();
    for number in 0..cases {
        let case_seed = seed.wrapping_add(number);
        report.cases += 1;
        match attempt(&shape_of(case_seed), case_seed) {
            Ok(case) => report.count(case),
            Err(reason) => {
                report.failure = Some(tell(case_seed, reason));
                break;
            }
        }
    }
    report
}

impl Report {
    fn count(&mut self, case: Case) {
        self.refused += u64::from(case.refused);
        self.confluent += u64::from(case.confluent && !case.refused && !case.stopped);
        self.stopped += u64::from(case.stopped);
        self.crashes += case.crashes;
        self.executions += case.executions;
        self.steps += case.steps;
    }
}

/// The graph of the case with this seed.
pub fn shape_of(seed: u64) -> Shape {
    Shape::random(&mut Chance::new(seed))
}

/// A panic of the engine is a failure like any other.
fn attempt(shape: &Shape, seed: u64) -> Result<Case, String> {
    catch_unwind(AssertUnwindSafe(|| machine::run(shape, seed))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panicked: {}", text.unwrap_or_default()))
    })
}

fn tell(seed: u64, reason: String) -> String {
    let shape = shape_of(seed);
    let (smallest, schedule, last) = shrink(&shape, seed, reason.clone());
    format!("case {seed}: {reason}\n{shape}smallest graph, under schedule {schedule}: {last}\n{smallest}")
}

/// Leaves out one part after the other as long as some interleaving of what is left still fails.
fn shrink(shape: &Shape, seed: u64, reason: String) -> (Shape, u64, String) {
    let mut best = (shape.clone(), seed, reason);
    let mut attempts = 0;
    'smaller: loop {
        for smaller in best.0.smaller() {
            for schedule in (0..SCHEDULES).map(|offset| best.1.wrapping_add(offset)) {
                attempts += 1;
                if attempts > SHRINK_AT_MOST {
                    return best;
                }
                if let Err(reason) = attempt(&smaller, schedule) {
                    best = (smaller, schedule, reason);
                    continue 'smaller;
                }
            }
        }
        return best;
    }
}

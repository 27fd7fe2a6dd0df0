//! The same line in the standard dialect: 0 = Sunday, names and the reference's own spellings resolved to numbers.
//!
//! Day of month and weekday must still both match, which a `GraphSchedule` says with `dayMatch: Both`.

use schedule::{Calendar, CalendarError, CalendarSpec, DayMatch};

use super::parse::{ContractCron, Field, FieldKind, Term};

/// Room for one line in the schema of a `GraphSchedule`.
pub const LONGEST_LINE: usize = 120;
/// Makes a time one that recurs without changing it, see [`follow_wall_clock`].
const EVERY: &str = "/1";

impl ContractCron {
    /// Five fields of the standard dialect with the same meaning.
    pub fn to_standard(&self) -> String {
        let Self {
            minute,
            hour,
            day,
            month,
            weekday,
        } = self;
        [
            minute.to_standard(),
            hour.to_standard(),
            day.to_standard(),
            month.to_standard(),
            weekdays(weekday),
        ]
        .join(" ")
    }

    /// The same as lines of at most [`LONGEST_LINE`] bytes each, which are due together as often as the one would be. None when there is
    /// no such date.
    pub fn to_standard_lines(&self) -> Vec<String> {
        let mut lines = self.to_short_lines();
        lines.retain(|line| !is_never_due(line));
        lines
    }

    fn to_short_lines(&self) -> Vec<String> {
        let line = self.to_standard();
        if line.len() <= LONGEST_LINE {
            return vec![line];
        }
        let Self {
            minute,
            hour,
            day,
            month,
            weekday,
        } = self;
        let fields = [minute.as_list(), hour.as_list(), day.as_list(), month.as_list(), vec![weekdays(weekday)]];
        let mut lines = Vec::new();
        split(fields, &mut lines);
        if minute.recurs() || hour.recurs() {
            lines.iter_mut().for_each(follow_wall_clock);
        }
        lines
    }
}

/// When clocks change, a line with a star or a step in its time of day is due otherwise than one with fixed times (`schedule`). A part of a
/// line with steps may have lost them all.
fn follow_wall_clock(line: &mut String) {
    let mut fields: Vec<String> = line.split(' ').map(str::to_owned).collect();
    if fields.iter().take(2).any(|field| field.contains(['*', '/'])) {
        return;
    }
    if let Some(minute) = fields.first_mut() {
        let (first, rest) = minute
            .split_once(',')
            .map_or((minute.as_str(), None), |(first, rest)| (first, Some(rest)));
        let range = if first.contains('-') {
            first.to_owned()
        } else {
            format!("{first}-{first}")
        };
        let rest = rest.map(|rest| format!(",{rest}")).unwrap_or_default();
        *minute = format!("{range}{EVERY}{rest}");
    }
    *line = fields.join(" ");
}

/// A part of a line may name dates that do not exist, which the whole does not mind.
fn is_never_due(line: &str) -> bool {
    let spec = CalendarSpec {
        lines: vec![line.to_owned()],
        day_match: DayMatch::Both,
        ..CalendarSpec::default()
    };
    matches!(Calendar::parse(&spec), Err(CalendarError::Never { .. }))
}

/// Halves the longest list until every line fits.
fn split(fields: [Vec<String>; 5], lines: &mut Vec<String>) {
    let line = fields.each_ref().map(|terms| terms.join(",")).join(" ");
    let longest = (0..fields.len()).max_by_key(|place| fields[*place].len()).unwrap_or_default();
    let (first, second) = fields[longest].split_at(fields[longest].len() / 2);
    if line.len() + "59-".len() + EVERY.len() <= LONGEST_LINE || first.is_empty() {
        lines.push(line);
        return;
    }
    for half in [first, second] {
        let mut part = fields.clone();
        part[longest] = half.to_vec();
        split(part, lines);
    }
}

impl Field {
    fn to_standard(&self) -> String {
        let terms: Vec<String> = self.terms.iter().map(|term| self.term(*term)).collect();
        terms.join(",")
    }

    fn term(&self, term: Term) -> String {
        match term {
            Term::Every { step: 1 } => "*".to_owned(),
            Term::Every { step } => format!("*/{step}"),
            Term::LastDay => "L".to_owned(),
            Term::Range { first, last, step } => {
                let last = last.unwrap_or(self.kind.max());
                match step {
                    _ if first == last => first.to_string(),
                    1 => format!("{first}-{last}"),
                    _ => format!("{first}-{last}/{step}"),
                }
            }
        }
    }

    /// Its values as a list without repetitions, runs of them as ranges. A star stays one: what daylight saving does depends on it.
    fn as_list(&self) -> Vec<String> {
        let values: Vec<u32> = (self.kind.min()..=self.kind.max()).filter(|value| self.matches(*value)).collect();
        if self.terms.contains(&Term::Every { step: 1 }) {
            return vec!["*".to_owned()];
        }
        let mut terms: Vec<String> = runs(&values).map(|(first, last)| range(first, last)).collect();
        if self.terms.contains(&Term::LastDay) {
            terms.push("L".to_owned());
        }
        terms
    }

    /// Whether it has a star, a step or all values.
    fn recurs(&self) -> bool {
        let is_fixed = |term: &Term| match *term {
            Term::Range { first, last, step } => step == 1 || last == Some(first),
            Term::LastDay => true,
            Term::Every { .. } => false,
        };
        !self.terms.iter().all(is_fixed) || (self.kind.min()..=self.kind.max()).all(|value| self.matches(value))
    }

    /// Whether some term matches the value, in a month long enough.
    fn matches(&self, value: u32) -> bool {
        self.terms.iter().any(|term| match *term {
            Term::Every { step } => (value - self.kind.min()).is_multiple_of(step),
            Term::Range { first, last, step } => value >= first && value <= last.unwrap_or(self.kind.max()) && (value - first).is_multiple_of(step),
            Term::LastDay => false,
        })
    }
}

/// Weekdays are shifted by one, so that steps count from another day: they become lists. Runs of days stay ranges; 7 is Sunday.
fn weekdays(field: &Field) -> String {
    let days: Vec<u32> = (FieldKind::Weekday.min()..=FieldKind::Weekday.max())
        .filter(|day| field.matches(*day))
        .collect();
    if days.len() == 7 {
        return "*".to_owned();
    }
    let terms = runs(&days).map(|(first, last)| match first {
        _ if first == last => range((first + 1) % 7, (first + 1) % 7),
        _ => range(first + 1, last + 1),
    });
    terms.collect::<Vec<_>>().join(",")
}

/// First and last of each run of consecutive values.
fn runs(values: &[u32]) -> impl Iterator<Item = (u32, u32)> {
    let runs = values.chunk_by(|value, next| value + 1 == *next);
    runs.filter_map(|run| Some((*run.first()?, *run.last()?)))
}

fn range(first: u32, last: u32) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_meaning() {
        for (contract, standard) in [
            ("0 9 * * 0", "0 9 * * 1"),
            ("0 9 * * 6", "0 9 * * 0"),
            ("0 9 * * 4-6", "0 9 * * 5-7"),
            ("0 9 * * */2", "0 9 * * 1,3,5,0"),
            ("0 9 * * 1/2", "0 9 * * 2,4,6"),
            ("0 9 * * mon-sun", "0 9 * * *"),
            ("0 9 * * mon#1,sat-sun", "0 9 * * 1,6-7"),
            ("5/15 0-0/5 last,15 jan-13,*/5 *", "5-59/15 0 L,15 1,*/5 *"),
            ("٣ 07 1/1 Feb-APR *", "3 7 1-31 2-4 *"),
        ] {
            assert_eq!(contract.parse::<ContractCron>().unwrap().to_standard(), standard, "{contract}");
        }
    }

    #[test]
    fn a_long_line_becomes_several_that_are_due_at_the_same_times() {
        let listed = |values: std::ops::Range<u32>, step| values.step_by(step).map(|value| value.to_string()).collect::<Vec<_>>().join(",");
        let repeated = vec!["7"; 200].join(",");
        let minutes = format!("{},59", listed(0..58, 2));
        for line in [
            format!(
                "{minutes} {},{} {},last {} 0",
                listed(0..24, 2),
                repeated,
                listed(1..32, 3),
                listed(1..13, 2)
            ),
            format!("{} * * * *", listed(0..60, 1)),
            // Fixed times, and steps that get lost when the line is split.
            format!("{minutes} {},2,1 * * *", repeated),
            format!("{minutes},0-40/20 {},{repeated} 29-31 2,3,10 *", listed(0..10, 1)),
        ] {
            let cron: ContractCron = line.parse().unwrap();
            let lines = cron.to_standard_lines();
            assert!(lines.len() <= 20 && lines.iter().all(|line| line.len() <= LONGEST_LINE), "{lines:?}");
            let calendar = |lines: Vec<String>| {
                Calendar::parse(&CalendarSpec {
                    lines,
                    time_zone: "Europe/Berlin".to_owned(),
                    day_match: DayMatch::Both,
                    ..CalendarSpec::default()
                })
                .unwrap()
            };
            let (parts, whole) = (calendar(lines.clone()), calendar(vec![cron.to_standard()]));
            for start in ["2026-01-31T00:00:00Z", "2026-03-28T22:00:00Z", "2026-10-24T22:00:00Z"] {
                let mut at: chrono::DateTime<chrono::Utc> = start.parse().unwrap();
                for _ in 0..300 {
                    let next = whole.next_after(at).unwrap();
                    assert_eq!(parts.next_after(at), Some(next), "{lines:?}");
                    at = next;
                }
            }
        }
        assert!("0 0 31 2 *".parse::<ContractCron>().unwrap().to_standard_lines().is_empty());
        assert_eq!("*/5 * * * *".parse::<ContractCron>().unwrap().to_standard_lines(), ["*/5 * * * *"]);
    }
}

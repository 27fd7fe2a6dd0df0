//! The same line in the standard dialect: 0 = Sunday, names and the reference's own spellings resolved to numbers.
//!
//! Day of month and weekday must still both match, which a `GraphSchedule` says with `dayMatch: Both`.

use super::parse::{ContractCron, Field, FieldKind, Term};

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
    let runs = days.chunk_by(|day, next| day + 1 == *next);
    let terms: Vec<String> = runs
        .filter_map(|run| match (run.first()?, run.last()?) {
            (first, last) if first == last => Some(((first + 1) % 7).to_string()),
            (first, last) => Some(format!("{}-{}", first + 1, last + 1)),
        })
        .collect();
    terms.join(",")
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
}

//! All recorded cases of the dialect.

use serde::Deserialize;

use super::*;
use crate::cron::Firing;

#[derive(Deserialize)]
struct Case {
    id: String,
    cron: String,
    timezone: String,
    start: DateTime<Utc>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    rejected: bool,
    #[serde(default)]
    exhausted: bool,
    #[serde(default)]
    fires_local: Vec<String>,
    #[serde(default)]
    fires_utc: Vec<DateTime<Utc>>,
}

fn cases() -> Vec<Case> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/recorded/cron.jsonl");
    let lines = std::fs::read_to_string(path).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// One shown time after the other, each from a second after the one before on the same wall.
fn shown(cron: &ContractCron, start: DateTime<Utc>, zone: Tz, count: usize) -> Vec<Wall> {
    let mut fits: Vec<Wall> = Vec::new();
    while fits.len() < count {
        let from = match fits.last() {
            Some(last) => Wall {
                local: last.local + Duration::seconds(1),
                ..*last
            },
            None => Wall::at(start, zone),
        };
        match cron.walk(from, zone) {
            Some(fit) => fits.push(fit),
            None => break,
        }
    }
    fits
}

#[test]
fn every_recorded_line_is_accepted_or_refused_as_recorded() {
    for case in cases() {
        assert_eq!(case.cron.parse::<ContractCron>().is_err(), case.rejected, "{} {:?}", case.id, case.cron);
    }
}

#[test]
fn every_recorded_line_shows_the_recorded_times() {
    let mut wrong = Vec::new();
    for case in cases().into_iter().filter(|case| !case.rejected) {
        let cron: ContractCron = case.cron.parse().unwrap();
        let zone: Tz = case.timezone.parse().unwrap();
        let fits = shown(&cron, case.start, zone, case.fires_local.len() + usize::from(case.exhausted));
        let local: Vec<String> = fits
            .iter()
            .map(|fit| fit.shown(zone).format("%Y-%m-%dT%H:%M:%S%:z").to_string())
            .collect();
        let instants: Vec<DateTime<Utc>> = fits.iter().map(|fit| fit.instant(zone)).collect();
        if local != case.fires_local || instants != case.fires_utc {
            wrong.push(format!(
                "{} {:?} {} from {}\n  expected {:?}\n  got      {local:?}",
                case.id, case.cron, case.timezone, case.start, case.fires_local
            ));
        }
        let first = cron.shown_after(case.start, zone).map(|first| first.to_utc());
        assert_eq!(first, case.fires_utc.first().copied(), "{}", case.id);
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Where no clock changes, the translation to the standard dialect fires at the recorded times.
#[test]
fn every_recorded_line_fires_at_the_recorded_times_where_clocks_do_not_change() {
    let mut checked = 0;
    for case in cases()
        .into_iter()
        .filter(|case| !case.rejected && !case.tags.iter().any(|tag| tag == "dst"))
    {
        let cron: ContractCron = case.cron.parse().unwrap();
        let firing = Firing::new(&cron, case.timezone.parse().unwrap()).unwrap();
        let mut after = case.start - Duration::seconds(1);
        for expected in &case.fires_utc {
            let next = firing.next_after(after).unwrap();
            assert_eq!(next, *expected, "{} {:?} as {:?}", case.id, case.cron, cron.to_standard());
            after = next;
        }
        assert!(!case.exhausted || firing.next_after(after).is_none(), "{}", case.id);
        checked += 1;
    }
    assert!(checked > 100, "only {checked} cases were left");
}

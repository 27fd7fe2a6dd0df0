//! Results: a table for people, `reports/bench.json` for programs (quality §7).

use std::fmt::Write as _;

use serde::Serialize;

use crate::stats::shown;

/// One figure of one case.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub case: &'static str,
    pub metric: String,
    pub value: f64,
    pub unit: &'static str,
    /// The limit in the unit of the value; none for figures that only inform.
    pub bar: Option<f64>,
    /// False when the bar is missed, and only then.
    pub ok: bool,
    /// How the bar came about, for people.
    #[serde(skip)]
    pub formula: String,
}

/// Collects the rows of a case and shows each as soon as it is there.
#[derive(Debug, Default)]
pub struct Rows {
    case: &'static str,
    rows: Vec<Row>,
}

impl Rows {
    pub fn of(case: &'static str) -> Self {
        Self { case, rows: Vec::new() }
    }

    pub fn info(&mut self, metric: impl Into<String>, value: f64, unit: &'static str) {
        self.push(metric.into(), value, unit, None, true, String::new());
    }

    pub fn at_most(&mut self, metric: impl Into<String>, value: f64, unit: &'static str, bar: f64, why: impl Into<String>) {
        self.push(
            metric.into(),
            value,
            unit,
            Some(bar),
            value <= bar,
            format!("≤ {} {}", shown(bar), why.into()),
        );
    }

    pub fn at_least(&mut self, metric: impl Into<String>, value: f64, unit: &'static str, bar: f64) {
        self.push(metric.into(), value, unit, Some(bar), value >= bar, format!("≥ {}", shown(bar)));
    }

    fn push(&mut self, metric: String, value: f64, unit: &'static str, bar: Option<f64>, ok: bool, formula: String) {
        let row = Row {
            case: self.case,
            metric,
            value,
            unit,
            bar,
            ok,
            formula,
        };
        print!("{}", line(&row));
        self.rows.push(row);
    }

    pub fn into_rows(self) -> Vec<Row> {
        self.rows
    }
}

pub fn heading() -> String {
    format!("{:<14} {:<64} {:>10} {:<11} {:<5} bar\n", "case", "metric", "value", "unit", "")
}

fn line(row: &Row) -> String {
    let verdict = match (row.bar, row.ok) {
        (None, _) => "",
        (Some(_), true) => "ok",
        (Some(_), false) => "MISS",
    };
    let (case, metric, value, unit) = (row.case, &row.metric, shown(row.value), row.unit);
    let mut line = String::new();
    let _ = writeln!(line, "{case:<14} {metric:<64} {value:>10} {unit:<11} {verdict:<5} {}", row.formula);
    line
}

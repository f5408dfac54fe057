//! Results as JSON.

use std::io;
use std::path::Path;

use serde_json::{Value, json};

/// One figure of one subject.
#[derive(Clone, Debug)]
pub struct Record {
    /// What was done.
    pub case: String,
    /// Who did it; ours is `scrubjay`.
    pub subject: String,
    /// What was measured.
    pub metric: &'static str,
    /// The figure.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// Of how many repeats it is the median or mean.
    pub repeats: usize,
}

/// Writes `records` to `path`, whose folder is made.
///
/// # Errors
/// What the file system answers.
pub fn write_json(path: &Path, records: &[Record]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let rows: Vec<Value> = records
        .iter()
        .map(|record| {
            json!({
                "case": record.case,
                "subject": record.subject,
                "metric": record.metric,
                "value": record.value,
                "unit": record.unit,
                "repeats": record.repeats,
            })
        })
        .collect();
    std::fs::write(path, format!("{:#}\n", Value::Array(rows)))
}

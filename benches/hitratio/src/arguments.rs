//! The command line.

use std::path::PathBuf;

use crate::read::Format;
use crate::replay::Size;
use crate::synthetic::KINDS;

const USAGE: &str = "usage: [--synthetic all|KIND,…] [--folder FOLDER] [--sizes 0.1%,1%,10%] [--format int32|keys|sized|blocks] \
                     [--jobs N] [--repeats N] [--no-curve] [--out FOLDER] [FILE…]";

/// What the program is asked to do.
pub struct Arguments {
    pub files: Vec<PathBuf>,
    /// The kinds of synthetic requests that are played: all of them where there are no files.
    pub synthetic: Vec<&'static str>,
    pub sizes: Vec<Size>,
    pub format: Option<Format>,
    pub jobs: usize,
    /// How often subjects are played whose result differs from run to run.
    pub repeats: usize,
    /// Whether the drawing may have more points than the table.
    pub curve: bool,
    pub out: PathBuf,
}

impl Arguments {
    /// # Errors
    /// A text for the user.
    pub fn of(mut given: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Arguments {
            files: Vec::new(),
            synthetic: Vec::new(),
            sizes: sizes("0.1%,1%,10%")?,
            format: None,
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            repeats: 1,
            curve: true,
            out: PathBuf::from("target/bench"),
        };
        while let Some(argument) = given.next() {
            let mut value = || given.next().ok_or_else(|| format!("{argument} lacks its value; {USAGE}"));
            match argument.as_str() {
                "--synthetic" => arguments.synthetic = kinds(&value()?)?,
                "--no-curve" => arguments.curve = false,
                "--folder" => arguments.files.extend(traces_in(&PathBuf::from(value()?))?),
                "--sizes" => arguments.sizes = sizes(&value()?)?,
                "--format" => arguments.format = Some(value()?.parse()?),
                "--jobs" => arguments.jobs = count("--jobs", &value()?)?,
                "--repeats" => arguments.repeats = count("--repeats", &value()?)?,
                "--out" => arguments.out = value()?.into(),
                option if option.starts_with('-') => return Err(format!("unknown option {option}; {USAGE}")),
                file => arguments.files.push(file.into()),
            }
        }
        if arguments.files.is_empty() && arguments.synthetic.is_empty() {
            arguments.synthetic = KINDS.to_vec();
        }
        Ok(arguments)
    }
}

fn count(option: &str, text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=1000).contains(&count) => Ok(count),
        _ => Err(format!("{option} {text}: a number from 1 to 1000 is expected")),
    }
}

/// Names of kinds of synthetic requests.
fn kinds(text: &str) -> Result<Vec<&'static str>, String> {
    if matches!(text, "all" | "1") {
        return Ok(KINDS.to_vec());
    }
    let kind = |part: &str| {
        let known = KINDS.into_iter().find(|kind| *kind == part.trim());
        known
            .ok_or_else(|| format!("synthetic requests `{part}`: all or some of {} are expected", KINDS.join(",")))
    };
    text.split(',').map(kind).collect()
}

/// Percentages, such as `0.1%,1%,10%`; the signs may be left out.
fn sizes(text: &str) -> Result<Vec<Size>, String> {
    text.split(',')
        .map(|part| {
            let number = part.trim().trim_end_matches('%');
            match number.parse::<f64>() {
                Ok(percent) if percent > 0.0 && percent <= 100.0 => {
                    Ok(Size { percent, text: format!("{number}%") })
                }
                _ => Err(format!("size `{part}`: percentages of the footprint are expected, such as 0.1%,1%,10%")),
            }
        })
        .collect()
}

/// The files of a folder that are not about themselves.
fn traces_in(folder: &PathBuf) -> Result<Vec<PathBuf>, String> {
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(told)? {
        let path = entry.map_err(told)?.path();
        if path.is_file() && path.extension().is_none_or(|extension| extension != "md") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() { Err(format!("{}: holds no file", folder.display())) } else { Ok(files) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(given: &[&str]) -> Result<Arguments, String> {
        Arguments::of(given.iter().map(ToString::to_string))
    }

    #[test]
    fn sizes_are_percentages() {
        let arguments = of(&["--sizes", "0.5%, 2", "a.xz"]).unwrap();
        let texts: Vec<&str> = arguments.sizes.iter().map(|size| size.text.as_str()).collect();
        assert_eq!(texts, ["0.5%", "2%"]);
        assert!(arguments.synthetic.is_empty());
        assert_eq!(of(&[]).unwrap().synthetic, KINDS, "no file: the synthetic set");
        assert_eq!(of(&["--synthetic", "drift,loop", "a"]).unwrap().synthetic, ["drift", "loop"]);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for wrong in [
            &["--sizes", "ten"][..],
            &["--sizes", "0%"],
            &["--jobs", "0"],
            &["--format", "csv"],
            &["--synthetic", "zipf"],
            &["-x"],
        ] {
            let what = of(wrong).err().expect("an error");
            assert!(what.contains(wrong.last().unwrap().trim_end_matches('%')), "{what}");
        }
    }
}

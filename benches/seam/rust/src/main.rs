//! `make bench-seam`, its Rust part: reads and writes that go to Redis, through Scrubjay and through clients of Redis.
//!
//! Every subject reads the same values from the same server by keys of its own, in rounds that take turns; ours has
//! its memory tier off. Callers are tasks of a runtime of one thread. Keys are drawn outside of the timed loop.

mod subjects;

use std::cell::Cell;
use std::error::Error;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use scrubjay_bench_common::{Random, Record, scale, scaled, write_json};
use subjects::Subject;
use tokio::task::LocalSet;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const KEYS: u32 = 1_000;
const CALLS: usize = 8_000;
const SIZES: [(&str, usize, &[usize]); 2] = [("100B", 100, &[1, 8, 64, 512]), ("10KB", 10_000, &[64])];
const METRICS: [(&str, &str); 4] = [("ops_per_s", "1/s"), ("p50_us", "us"), ("p99_us", "us"), ("cpu_us", "us")];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("bench-seam: {what}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let (Some(out), Ok(url)) = (std::env::args_os().nth(1), std::env::var("REDIS")) else {
        return Err("usage: REDIS=redis://... scrubjay-bench-seam OUTPUT.json".into());
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut bench = Bench { scale: scale()?, random: Random::new(11), records: Vec::new() };
    LocalSet::new().block_on(&runtime, bench.all(&url))?;
    for record in &bench.records {
        println!("{:<24} {:<10} {:>14.1} {}", record.case, record.subject, record.value, record.metric);
    }
    Ok(write_json(&PathBuf::from(out), &bench.records)?)
}

struct Bench {
    scale: f64,
    random: Random,
    records: Vec<Record>,
}

/// What a caller asks for, one after the other.
#[derive(Clone)]
enum Ask {
    Get(String),
    GetMany(Vec<String>),
    Set(String),
    /// What is not stored yet.
    Load(String),
}

impl Bench {
    async fn all(&mut self, url: &str) -> Result<()> {
        for (label, size, callers_of) in SIZES {
            let subjects: Vec<Rc<Subject>> = Subject::open(url, label).await?.into_iter().map(Rc::new).collect();
            for subject in &subjects {
                for number in 0..KEYS {
                    subject.set(&key(number), &value(&key(number), size)).await?;
                }
            }
            for callers in callers_of {
                let count = scaled(CALLS, self.scale, 5 * callers) / callers;
                let spinners = (*callers == 1).then(Awake::begin).transpose()?;
                self.case(&format!("l2-get-{callers}x{label}"), &subjects, size, *callers, count, |key, _| {
                    Ask::Get(key)
                })
                .await?;
                drop(spinners);
            }
            if size == 100 {
                let _spinners = Awake::begin()?;
                let (hundreds, sets) = (scaled(100, self.scale, 5), scaled(2_000, self.scale, 20));
                self.case("l2-get-many-100", &subjects, size, 1, hundreds, |_, random| {
                    let first = random.below(KEYS);
                    Ask::GetMany((0..100).map(|step| key((first + step * 7) % KEYS)).collect())
                })
                .await?;
                self.case("l2-set-1x100B", &subjects, size, 1, sets, |key, _| Ask::Set(key)).await?;
                let loads = Cell::new(0_u32);
                let absent = |_, _: &mut Random| {
                    loads.set(loads.get() + 1);
                    Ask::Load(format!("cold:{:08}", loads.get()))
                };
                self.case("cold-get-or-fetch-1x100B", &subjects, size, 1, sets / 2, absent).await?;
            }
        }
        Ok(())
    }

    /// The rounds of one case, each beginning with another subject; the first is a warm-up.
    async fn case(
        &mut self,
        name: &str,
        subjects: &[Rc<Subject>],
        size: usize,
        callers: usize,
        count: usize,
        ask: impl Fn(String, &mut Random) -> Ask,
    ) -> Result<()> {
        let rounds = scaled(11, self.scale.min(1.0), 5);
        let mut figures = vec![vec![Vec::new(); METRICS.len()]; subjects.len()];
        for round in 0..=rounds {
            for turn in 0..subjects.len() {
                let number = (round + turn) % subjects.len();
                let mut draw = || {
                    let drawn = key(self.random.below(KEYS));
                    ask(drawn, &mut self.random)
                };
                let asked: Vec<Vec<Ask>> = (0..callers).map(|_| (0..count).map(|_| draw()).collect()).collect();
                let metrics = timed(&subjects[number], asked, size).await?;
                if round > 0 {
                    figures[number].iter_mut().zip(metrics).for_each(|(all, one)| all.push(one));
                }
            }
        }
        for (subject, of_metrics) in subjects.iter().zip(figures) {
            for ((metric, unit), mut all) in METRICS.into_iter().zip(of_metrics) {
                all.sort_by(f64::total_cmp);
                self.records.push(Record {
                    case: format!("rust/{name}"),
                    subject: subject.name().into(),
                    metric,
                    value: all[all.len() / 2],
                    unit,
                    repeats: all.len(),
                });
            }
        }
        Ok(())
    }
}

/// One round: each list is worked off by a task of its own. The figures are those of [`METRICS`].
async fn timed(subject: &Rc<Subject>, asked: Vec<Vec<Ask>>, size: usize) -> Result<[f64; 4]> {
    let (begun, used) = (Instant::now(), on_cpu());
    let callers: Vec<_> = asked
        .into_iter()
        .map(|list| {
            let subject = subject.clone();
            tokio::task::spawn_local(async move {
                let mut times = Vec::with_capacity(list.len());
                for ask in list {
                    let start = Instant::now();
                    let right = answer(&subject, &ask, size).await.map_err(|error| error.to_string())?;
                    times.push(start.elapsed());
                    if !right {
                        return Err(format!("{}: a wrong value", subject.name()));
                    }
                }
                Ok(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for caller in callers {
        times.extend(caller.await??);
    }
    let (wall, used) = (begun.elapsed(), on_cpu() - used);
    times.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let count = times.len() as f64;
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    Ok([
        count / wall.as_secs_f64(),
        micros(times[times.len() / 2]),
        micros(times[times.len() * 99 / 100]),
        micros(used) / count,
    ])
}

/// Asks, and says whether the answer is right.
async fn answer(subject: &Subject, ask: &Ask, size: usize) -> Result<bool> {
    Ok(match ask {
        Ask::Get(key) => {
            let found = subject.get(key).await?;
            found.len() == size && found.starts_with(key.as_bytes())
        }
        Ask::GetMany(keys) => {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            subject.get_many(&keys).await? == keys.len()
        }
        Ask::Load(key) => {
            let found = subject.load(key, value(key, size)).await?;
            found.len() == size && found.starts_with(key.as_bytes())
        }
        Ask::Set(key) => {
            subject.set(key, &value(key, size)).await?;
            true
        }
    })
}

fn key(number: u32) -> String {
    format!("user:{number:08}")
}

fn value(key: &str, size: usize) -> Vec<u8> {
    let mut bytes = vec![b'.'; size];
    bytes[..key.len()].copy_from_slice(key.as_bytes());
    bytes
}

/// How long this process has been on the CPU.
fn on_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// While it lives no processor falls asleep.
struct Awake(Child);

impl Awake {
    fn begin() -> Result<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../awake.py");
        let mut child =
            Command::new("python3").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        if let Some(output) = &mut child.stdout {
            output.read_exact(&mut [0; 5])?;
        }
        Ok(Awake(child))
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It ends with its input.
        drop(self.0.wait());
    }
}

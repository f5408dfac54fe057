#![allow(missing_docs, dead_code, clippy::all, clippy::pedantic, unreachable_pub)]
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlotRef { pub slot: u32, pub generation: u32 }
pub struct Table { pub base: *const u8, pub bytes: usize, pub slots: u32 }
#[derive(Clone, Copy, Debug)]
pub struct Copy { pub at: SlotRef, pub until: u32 }
#[derive(Default, Clone, Copy)]
pub struct MemoryStats { pub evictions: u64, pub expired: u64, pub entries: u64, pub bytes: u64 }
struct State { queue: VecDeque<SlotRef>, free: Vec<u32>, live: Vec<Option<(u64, u32)>>, gone: Vec<SlotRef>, stats: MemoryStats }
pub struct Slots { cells: Box<[AtomicU32]>, state: Mutex<State>, max: u64, bytes: u64, start: Instant, wake: Mutex<Option<Arc<dyn Fn() + Send + Sync>>> }
impl Slots {
    pub fn open(max: Option<u64>, bytes: Option<u64>) -> scrubjay_core::Result<Arc<Slots>> {
        let n = max.unwrap_or(1 << 20).min(1 << 22) as usize + 16;
        let s = Arc::new(Slots { cells: (0..16 + 2 * n).map(|_| AtomicU32::new(0)).collect(), max: max.unwrap_or(u64::MAX), bytes: bytes.unwrap_or(if max.is_some() { u64::MAX } else { 64 << 20 }),
            state: Mutex::new(State { queue: VecDeque::new(), free: (0..n as u32).rev().collect(), live: vec![None; n], gone: vec![], stats: MemoryStats::default() }), start: Instant::now(), wake: Mutex::new(None) });
        let w: Weak<Slots> = Arc::downgrade(&s);
        std::thread::spawn(move || loop { std::thread::sleep(Duration::from_millis(10)); let Some(s) = w.upgrade() else { return }; s.tick(); });
        Ok(s)
    }
    fn tick(&self) {
        let now = self.now(); self.cells[0].store(now, Relaxed);
        let mut st = self.state.lock().unwrap(); let before = st.gone.len();
        for i in 0..st.live.len() { if let Some((w, until)) = st.live[i] { if (now.wrapping_sub(until) as i32) >= 0 { let g = self.cells[16 + 2 * i].load(Relaxed); self.end(&mut st, i as u32, w); st.stats.expired += 1; st.gone.push(SlotRef { slot: i as u32, generation: g }); } } }
        let wake = before == 0 && !st.gone.is_empty();
        if wake { self.cells[1].store(1, Relaxed); }
        drop(st);
        if wake { let f = self.wake.lock().unwrap().clone(); if let Some(f) = f { f() } }
    }
    fn end(&self, st: &mut State, slot: u32, w: u64) { self.cells[16 + 2 * slot as usize].fetch_add(1, Relaxed); self.cells[17 + 2 * slot as usize].store(0, Relaxed); st.live[slot as usize] = None; st.free.push(slot); st.stats.entries -= 1; st.stats.bytes -= w; }
    fn held(&self, st: &State, at: SlotRef) -> Option<u64> { let (w, _) = st.live[at.slot as usize]?; (self.cells[16 + 2 * at.slot as usize].load(Relaxed) == at.generation).then_some(w) }
    pub fn table(&self) -> Table { Table { base: self.cells.as_ptr().cast(), bytes: self.cells.len() * 4, slots: 0 } }
    pub fn now(&self) -> u32 { self.start.elapsed().as_millis() as u32 }
    pub fn insert(&self, _hash: u64, weight: u64, ttl_ms: u64, instead: Option<SlotRef>, gone: &mut Vec<SlotRef>) -> Option<Copy> {
        let mut st = self.state.lock().unwrap(); let now = self.now(); self.cells[0].store(now, Relaxed);
        if let Some(at) = instead { if let Some(w) = self.held(&st, at) { self.end(&mut st, at.slot, w); } }
        if weight > self.bytes { st.stats.evictions += 1; return None }
        while st.stats.entries + 1 > self.max || st.stats.bytes + weight > self.bytes || st.free.is_empty() {
            let at = st.queue.pop_front().unwrap();
            if let Some(w) = self.held(&st, at) { self.end(&mut st, at.slot, w); st.stats.evictions += 1; gone.push(at); }
        }
        let slot = st.free.pop().unwrap(); let generation = self.cells[16 + 2 * slot as usize].load(Relaxed);
        let until = now.wrapping_add(ttl_ms as u32);
        st.live[slot as usize] = Some((weight, until)); st.stats.entries += 1; st.stats.bytes += weight;
        let at = SlotRef { slot, generation }; st.queue.push_back(at);
        Some(Copy { at, until })
    }
    pub fn remove(&self, at: SlotRef) -> bool { let mut st = self.state.lock().unwrap(); match self.held(&st, at) { Some(w) => { self.end(&mut st, at.slot, w); true } None => false } }
    pub fn clear(&self) { let mut st = self.state.lock().unwrap(); for i in 0..st.live.len() { if let Some((w, _)) = st.live[i] { self.end(&mut st, i as u32, w); } } }
    pub fn drain(&self, max: usize, gone: &mut Vec<SlotRef>) -> usize { let mut st = self.state.lock().unwrap(); let n = max.min(st.gone.len()); let rest = st.gone.len() - n; gone.extend(st.gone.drain(rest..)); if st.gone.is_empty() { self.cells[1].store(0, Relaxed); } n }
    pub fn on_gone(&self, wake: impl Fn() + Send + Sync + 'static) { *self.wake.lock().unwrap() = Some(Arc::new(wake)); }
    pub fn stats(&self) -> MemoryStats { self.state.lock().unwrap().stats }
}

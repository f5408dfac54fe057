use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::ManualClock;

fn breaker() -> (Arc<Breaker>, ManualClock) {
    let (clock, manual) = Clock::manual();
    (Arc::new(Breaker::new(true, clock)), manual)
}

fn fail(breaker: &Arc<Breaker>) {
    breaker.permit().expect("closed").failure();
}

fn opened() -> (Arc<Breaker>, ManualClock) {
    let (breaker, clock) = breaker();
    (0..5).for_each(|_| fail(&breaker));
    (breaker, clock)
}

#[test]
fn five_failures_open_it_and_four_do_not() {
    let (breaker, _clock) = breaker();
    (0..4).for_each(|_| fail(&breaker));
    assert_eq!(breaker.state(), BreakerState::Closed);
    fail(&breaker);
    assert_eq!(breaker.state(), BreakerState::Open);
    assert!(breaker.permit().is_none());
}

#[test]
fn failures_more_than_ten_seconds_apart_do_not_count_together() {
    let (breaker, clock) = breaker();
    for _ in 0..20 {
        fail(&breaker);
        clock.advance(Duration::from_millis(2501));
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
    clock.advance(Duration::from_secs(10));
    for _ in 0..5 {
        assert_eq!(breaker.state(), BreakerState::Closed);
        fail(&breaker);
        clock.advance(Duration::from_millis(2000));
    }
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn a_success_between_forgets_the_failures() {
    let (breaker, _clock) = breaker();
    for _ in 0..10 {
        (0..4).for_each(|_| fail(&breaker));
        breaker.permit().expect("closed").success();
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn one_probe_after_a_second_and_its_success_closes() {
    let (breaker, clock) = opened();
    clock.advance(Duration::from_millis(999));
    assert!(breaker.permit().is_none());
    clock.advance(Duration::from_millis(1));
    let probe = breaker.permit().expect("a probe");
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert!(breaker.permit().is_none(), "one probe at a time");
    probe.success();
    assert_eq!(breaker.state(), BreakerState::Closed);
    assert!(breaker.permit().is_some());
}

#[test]
fn the_cooldown_doubles_to_fifteen_seconds_and_is_short_again_after_a_success() {
    let (breaker, clock) = opened();
    for cooldown in [1000, 2000, 4000, 8000, 15_000, 15_000] {
        clock.advance(Duration::from_millis(cooldown - 1));
        assert!(breaker.permit().is_none(), "{cooldown}");
        clock.advance(Duration::from_millis(1));
        breaker.permit().expect("a probe").failure();
        assert_eq!(breaker.state(), BreakerState::Open);
    }
    clock.advance(Duration::from_secs(15));
    breaker.permit().expect("a probe").success();
    (0..5).for_each(|_| fail(&breaker));
    clock.advance(Duration::from_secs(1));
    assert!(breaker.permit().is_some());
}

#[test]
fn a_probe_that_is_given_up_lets_the_next_one_probe() {
    let (breaker, clock) = opened();
    clock.advance(Duration::from_secs(1));
    drop(breaker.permit().expect("a probe"));
    assert_eq!(breaker.state(), BreakerState::Open);
    assert!(breaker.permit().is_some());
}

#[test]
fn late_outcomes_of_operations_begun_before() {
    let (breaker, clock) = breaker();
    let late: Vec<_> = (0..3).map(|_| breaker.permit().expect("closed")).collect();
    (0..5).for_each(|_| fail(&breaker));
    clock.advance(Duration::from_secs(1));
    let probe = breaker.permit().expect("a probe");
    let mut late = late.into_iter();
    late.next().expect("three").failure();
    assert_eq!(breaker.state(), BreakerState::HalfOpen, "only the probe decides for the worse");
    late.next().expect("three").success();
    assert_eq!(breaker.state(), BreakerState::Closed, "any answer closes it");
    probe.failure();
    assert_eq!(breaker.state(), BreakerState::Closed, "one failure is one failure");
}

#[test]
fn a_new_connection_need_not_wait_for_the_probe() {
    let (breaker, _clock) = opened();
    breaker.reconnected();
    assert_eq!(breaker.state(), BreakerState::Open);
    breaker.permit().expect("a probe").failure();
    assert!(breaker.permit().is_none());
}

#[test]
fn switched_off_it_lets_everything_pass() {
    let breaker = Arc::new(Breaker::new(false, Clock::manual().0));
    (0..100).for_each(|_| fail(&breaker));
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn who_only_looks_is_cut_off_and_one_of_them_may_try() {
    let (breaker, clock) = breaker();
    assert!(matches!(breaker.look(), CutOff::No));
    fail(&breaker);
    assert!(matches!(breaker.look(), CutOff::No), "one failure cuts nobody off");
    (0..4).for_each(|_| fail(&breaker));
    assert!(matches!(breaker.look(), CutOff::Yes));
    clock.advance(Duration::from_secs(1));
    let CutOff::Probe(permit) = breaker.look() else { panic!("it is time to try") };
    assert!(matches!(breaker.look(), CutOff::Yes), "another one does");
    permit.success();
    assert!(matches!(breaker.look(), CutOff::No));
}

use proptest::prelude::*;

use super::*;
use crate::wire::fuzzing::{LIMIT, read_in_steps, write};

fn parse(input: &[u8]) -> Result<Vec<Reply>, Fault> {
    let mut out = Vec::new();
    let mut parser = Parser::new(LIMIT);
    let taken = parser.feed(input, &mut out)?;
    assert_eq!(taken, input.len(), "something was left of {:?}", String::from_utf8_lossy(input));
    Ok(out)
}

fn value(text: &str) -> Reply {
    Reply::Value(Bytes::copy_from_slice(text.as_bytes()))
}

#[test]
fn each_kind_of_reply_of_both_versions() {
    for (input, reply) in [
        ("+OK\r\n", Reply::Okay),
        ("+PONG\r\n", Reply::Status(b"PONG"[..].into())),
        ("-ERR no\r\n", Reply::Error(b"ERR no"[..].into())),
        (":-42\r\n", Reply::Number(-42)),
        (":9223372036854775807\r\n", Reply::Number(i64::MAX)),
        ("$-1\r\n", Reply::Nothing),
        ("*-1\r\n", Reply::Nothing),
        ("_\r\n", Reply::Nothing),
        ("$0\r\n\r\n", value("")),
        ("$6\r\na\r\nb\r\n\r\n", value("a\r\nb\r\n")),
        ("#t\r\n", Reply::Number(1)),
        ("#f\r\n", Reply::Number(0)),
        (",1.5e3\r\n", Reply::Status(b"1.5e3"[..].into())),
        ("(123456789012345678901\r\n", Reply::Status(b"123456789012345678901"[..].into())),
        ("!9\r\nERR blob!\r\n", Reply::Error(b"ERR blob!"[..].into())),
        ("=8\r\ntxt:text\r\n", value("text")),
        ("*0\r\n", Reply::List(vec![])),
        ("*2\r\n$1\r\na\r\n*1\r\n:1\r\n", Reply::List(vec![value("a"), Reply::List(vec![Reply::Number(1)])])),
        ("~1\r\n+x\r\n", Reply::List(vec![Reply::Status(b"x"[..].into())])),
        ("%1\r\n+OK\r\n:1\r\n", Reply::Map(vec![Reply::Okay, Reply::Number(1)])),
        (">1\r\n$1\r\na\r\n", Reply::Push(vec![value("a")])),
        ("|1\r\n+ttl\r\n:5\r\n$1\r\na\r\n", value("a")),
        ("*2\r\n|1\r\n+ttl\r\n:5\r\n$1\r\na\r\n_\r\n", Reply::List(vec![value("a"), Reply::Nothing])),
    ] {
        assert_eq!(parse(input.as_bytes()), Ok(vec![reply]), "{input:?}");
    }
}

#[test]
fn what_no_server_sends_is_a_fault() {
    let endless = vec![b'+'; MAX_LINE + 2];
    let deep = "*1\r\n".repeat(MAX_DEPTH + 1);
    for input in [
        &b"hello\r\n"[..],
        b"\r\n",
        b"+OK\n",
        b":\r\n",
        b":1x\r\n",
        b":+\r\n",
        b"$-2\r\n",
        b"$x\r\n",
        b"$99999999999999999999\r\n",
        b"*1048577\r\n",
        b"*-2\r\n",
        b"$2\r\nabc\r\n",
        b"$2\r\nab\rc",
        b"#x\r\n",
        b"_x\r\n",
        b"=3\r\ntxt\r\n",
        b"$?\r\n",
        &endless,
        deep.as_bytes(),
    ] {
        assert!(Parser::new(LIMIT).feed(input, &mut Vec::new()).is_err(), "{input:?}");
    }
}

#[test]
fn a_value_that_is_too_long_costs_nothing_but_itself() {
    let long = format!("*3\r\n:1\r\n${}\r\n{}\r\n:2\r\n+OK\r\n", LIMIT + 1, "x".repeat(LIMIT + 1));
    let list = Reply::List(vec![Reply::Number(1), Reply::TooLarge, Reply::Number(2)]);
    assert_eq!(parse(long.as_bytes()), Ok(vec![list, Reply::Okay]));
    // No room is reserved for it, whatever it says.
    let mut parser = Parser::new(LIMIT);
    assert_eq!(parser.feed(b"$4611686018427387904\r\nabc", &mut Vec::new()), Ok(25));
    assert!(parser.room().is_none());
}

#[test]
fn a_list_that_is_too_long_costs_nothing_beyond_the_bound() {
    const COUNT: usize = 8;
    let one = [format!("${}\r\n", MAX_BYTES / COUNT).as_bytes(), &vec![b'x'; MAX_BYTES / COUNT], b"\r\n"].concat();
    for more in [0, 3] {
        let mut parser = Parser::new(MAX_BYTES / COUNT);
        let mut out = Vec::new();
        parser.feed(format!("*{}\r\n", COUNT + more + 1).as_bytes(), &mut out).expect("a list");
        for _ in 0..COUNT + more {
            assert_eq!(parser.feed(&one, &mut out), Ok(one.len()));
        }
        // What has no bytes is let in.
        parser.feed(b"$0\r\n\r\n", &mut out).expect("the end");
        let Some(Reply::List(items)) = out.pop() else { panic!("a list") };
        let kept: Vec<bool> = items.iter().map(|item| *item != Reply::TooMuch).collect();
        let expected = [vec![true; COUNT], vec![false; more], vec![true]].concat();
        assert_eq!(kept, expected);
        // The next reply begins anew.
        parser.feed(b"*1\r\n", &mut out).expect("a list");
        parser.feed(&one, &mut out).expect("a value");
        assert!(!out.contains(&Reply::List(vec![Reply::TooMuch])));
    }
}

#[test]
fn an_error_tells_its_code() {
    assert_eq!(Reply::Error(b"WRONGTYPE Operation".as_slice().into()).code(), Some("WRONGTYPE"));
    assert_eq!(Reply::Error(b"\xff".as_slice().into()).code(), Some(""));
    assert_eq!(Reply::Okay.code(), None);
}

fn replies() -> impl Strategy<Value = Reply> {
    let text = "[a-zA-Z][a-zA-Z ]{2,20}".prop_map(|text| text.into_bytes().into_boxed_slice());
    let single = prop_oneof![
        Just(Reply::Nothing),
        Just(Reply::Okay),
        Just(Reply::TooLarge),
        any::<i64>().prop_map(Reply::Number),
        text.clone().prop_map(Reply::Status),
        text.prop_map(Reply::Error),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(|value| Reply::Value(value.into())),
    ];
    single.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Reply::List),
            prop::collection::vec(inner.clone(), 0..6).prop_map(Reply::Push),
            prop::collection::vec((inner.clone(), inner), 0..3)
                .prop_map(|pairs| Reply::Map(pairs.into_iter().flat_map(|(key, value)| [key, value]).collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_was_written_is_read_however_it_comes(
        all in prop::collection::vec(replies(), 1..8),
        steps in prop::collection::vec(1_usize..300, 1..20),
    ) {
        let mut bytes = Vec::new();
        all.iter().for_each(|reply| write(reply, &mut bytes));
        prop_assert_eq!(read_in_steps(&bytes, &steps), (all, Ok(())));
    }

    #[test]
    fn whatever_comes_is_a_reply_or_a_fault(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"$*+-:%>|~_#!=\r\n0123456789".to_vec())], 0..400),
    ) {
        crate::wire::fuzzing::any_stream(&bytes);
    }
}

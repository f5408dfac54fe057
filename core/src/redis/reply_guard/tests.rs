use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;

/// What the parser gets of `sent`, sent in pieces of `piece` bytes.
async fn passed(sent: &[u8], piece: usize, limit: usize) -> IoResult<Vec<u8>> {
    let (mut server, client) = duplex(piece);
    let traffic = Traffic::default();
    let mut guard = ReplyGuard::new(client, limit, traffic.clone());
    let all = sent.to_vec();
    let sender = tokio::spawn(async move {
        // The reader stops where it finds something broken.
        let _ = server.write_all(&all).await;
    });
    let mut got = Vec::new();
    let read = guard.read_to_end(&mut got).await;
    drop(guard);
    sender.await.expect("the sender");
    read?;
    assert_eq!(traffic.load(Ordering::Relaxed), sent.len() as u64);
    Ok(got)
}

#[tokio::test]
async fn what_fits_passes_unchanged() {
    let sent = b"+OK\r\n:12\r\n$3\r\na\r\n\r\n$-1\r\n*-1\r\n$0\r\n\r\n*2\r\n$1\r\n$\r\n*1\r\n-ERR no\r\n$4\r\n\r\n\r\n\r\n";
    for piece in [1, 2, 3, 7, 1000] {
        assert_eq!(passed(sent, piece, 4).await.expect("valid"), sent, "{piece}");
    }
}

#[tokio::test]
async fn what_is_too_large_becomes_an_error_and_the_next_reply_is_whole() {
    let mut sent = b"*3\r\n$2\r\nab\r\n$100000\r\n".to_vec();
    sent.extend(std::iter::repeat_n(b'$', 100_000));
    sent.extend(b"\r\n$1\r\nc\r\n+OK\r\n");
    let expected = b"*3\r\n$2\r\nab\r\n-SCRUBJAYOVERSIZED\r\n$1\r\nc\r\n+OK\r\n";
    for piece in [1, 5, 4096] {
        assert_eq!(passed(&sent, piece, 99_999).await.expect("valid"), expected, "{piece}");
    }
}

#[tokio::test]
async fn what_no_server_sends_ends_the_stream() {
    let endless = [&b"+"[..], &vec![b'x'; 70_000]].concat();
    for broken in [
        &b"hello\r\n"[..],
        b"$x\r\n",
        b"$-2\r\n",
        b"$5\n",
        b"$99999999999999999999999999999999",
        b"*9999999999\r\n",
        b"*1048577\r\n",
        b"%1\r\n",
        b"$9223372036854775807\r\nx",
        &endless,
    ] {
        let outcome = passed(broken, 64, 100).await;
        let head = &broken[..broken.len().min(40)];
        match outcome {
            Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidData, "{head:?}"),
            // A length that fits in no memory is skipped as it comes, without reserving anything.
            Ok(got) => assert_eq!(got, b"-SCRUBJAYOVERSIZED\r\n", "{head:?}"),
        }
    }
}

proptest! {
    #[test]
    fn any_bulk_strings_in_any_pieces(
        values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..20),
        piece in 1_usize..50,
        limit in 0_usize..40,
    ) {
        let (mut sent, mut expected) = (Vec::new(), Vec::new());
        for value in &values {
            let whole = [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat();
            sent.extend_from_slice(&whole);
            let fits = value.len() <= limit;
            expected.extend_from_slice(if fits { &whole } else { b"-SCRUBJAYOVERSIZED\r\n" });
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        prop_assert_eq!(runtime.block_on(passed(&sent, piece, limit)).expect("valid"), expected);
    }
}

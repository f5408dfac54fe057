use std::path::Path;

use proptest::prelude::*;

use super::*;

/// Bytes of which replies, entries, URLs and values are made.
fn likely() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        any::<u8>(),
        prop::sample::select(b"$*+-:%>|~_#!=\r\n0123456789".to_vec()),
        prop::sample::select(b"[]{},:\"\\ue0-9.truefalsn redis://@?%\x01\x02".to_vec()),
    ];
    prop::collection::vec(byte, 0..300)
}

proptest! {
    #[test]
    fn drawn_bytes_break_no_promise(bytes in likely()) {
        for (_, target) in TARGETS {
            target(&bytes);
        }
    }
}

#[test]
fn what_the_fuzzer_kept_breaks_no_promise() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in TARGETS {
        let files: Vec<_> = std::fs::read_dir(corpus.join(name)).expect(name).collect();
        assert!(!files.is_empty(), "nothing of {name}");
        for file in files {
            target(&std::fs::read(file.expect("a file").path()).expect("a file"));
        }
    }
}

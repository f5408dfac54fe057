//! The committed header is what cbindgen makes of the sources.

use std::path::Path;

#[test]
fn the_header_is_generated() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml")).expect("cbindgen.toml");
    let mut generated = Vec::new();
    cbindgen::Builder::new()
        .with_crate(folder)
        .with_config(config)
        .generate()
        .expect("a header")
        .write(&mut generated);
    // What Rust needs to hear is no sentence for C.
    let generated = strip_safety(&String::from_utf8(generated).expect("UTF-8"));
    let committed = folder.join("include/scrubjay.h");
    if std::env::var_os("SCRUBJAY_WRITE_HEADER").is_some() {
        std::fs::write(&committed, generated).expect("written");
        return;
    }
    let found = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(found == generated, "include/scrubjay.h differs from the sources: run `make header`");
}

/// Takes the `# Safety` sections out of the comments.
fn strip_safety(header: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut skipping = false;
    for line in header.lines() {
        let comment = line.trim_start().starts_with("//");
        if comment && line.trim_end().ends_with("# Safety") {
            skipping = true;
            // The empty line before it.
            if kept.last().is_some_and(|line| line.trim() == "//" || line.trim() == "///") {
                kept.pop();
            }
        }
        skipping &= comment;
        if !skipping {
            kept.push(line.trim_end());
        }
    }
    kept.join("\n") + "\n"
}

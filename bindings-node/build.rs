//! Linker settings of the addon.

fn main() {
    napi_build::setup();
    // Node closes an addon when the last thread that loaded it ends; our runtime's thread would then run code that
    // is gone. The image stays.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}

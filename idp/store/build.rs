//! Rebuilds the store when a migration is added: they are compiled in.
fn main() {
    #[allow(clippy::print_stdout)] // how a build script speaks to cargo
    {
        println!("cargo:rerun-if-changed=../../migrations");
    }
}

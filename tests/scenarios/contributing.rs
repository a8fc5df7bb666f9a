//! The example of CONTRIBUTING.md is the plugin in `hello`, which `hello.md` tests.

#[test]
fn the_example_is_the_plugin_that_is_tested() {
    let guide = include_str!("../../CONTRIBUTING.md");
    for file in [include_str!("hello/mod.rs"), include_str!("hello/config.rs")] {
        assert!(guide.contains(&format!("```rust\n{file}```")), "CONTRIBUTING.md lacks:\n{file}");
    }
}

//! The `catena` program: the server with all plugins of this repository.

#[global_allocator]
static MEMORY: sys::Allocator = sys::Allocator;

fn main() -> std::process::ExitCode {
    catena::main(plugins::REGISTRY)
}

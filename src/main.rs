//! The `catena` program: the server with all plugins of this repository.

#[global_allocator]
static MEMORY: net::Allocator = net::Allocator;

fn main() -> std::process::ExitCode {
    catena::main(plugins::REGISTRY)
}

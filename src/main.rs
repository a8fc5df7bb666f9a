//! The `catena` program: the server with all plugins of this repository.

fn main() -> std::process::ExitCode {
    catena::main(plugins::REGISTRY)
}

//! What many server blocks cost: the same questions to one block with all the names, and to a block for
//! each name.

use std::fmt::Write as _;
use std::path::Path;

use wire::Rtype;

use super::data::{self, Set};
use super::peers::Recipe;
use super::server::write;
use super::{PORT, Settings, add_other_builds, echo_recipe, median, report, saturate};

const BLOCKS: usize = 2_000;
const ORIGIN: &str = "blocks.lab.";
const HEAD: &str = "@ 3600 SOA ns1.lab. host.lab. 1 3600 600 86400 3600\n@ 3600 NS ns1.lab.\n";

pub(super) fn run(settings: &Settings) {
    let dir = settings.dir.join("blocks");
    std::fs::create_dir_all(&dir).expect("the bench directory is writable");
    let name = |i: usize| format!("z{i}.{ORIGIN}");
    let all = (0..BLOCKS).fold(String::from(HEAD), |mut zone, i| {
        let _ = writeln!(zone, "www.{} 3600 A 192.0.2.1", name(i));
        zone
    });
    let one = format!("{HEAD}www 3600 A 192.0.2.1\n");
    let (all, one) = (write(&dir.join("all.zone"), &all), write(&dir.join("one.zone"), &one));
    let block = |zone: &str, file: &str| {
        format!(
            "{zone}:{PORT} {{\n    bind 127.0.0.1\n    errors\n    prometheus 127.0.0.1:19153\n    \
             file {file}\n}}\n"
        )
    };
    let many: String = (0..BLOCKS).map(|i| block(&name(i), &one)).collect();
    let mut recipes = vec![
        echo_recipe(),
        recipe(settings, &dir, "one block", &block(ORIGIN, &all)),
        recipe(settings, &dir, "2,000 blocks", &many),
    ];
    add_other_builds(settings, &mut recipes);
    let queries = (0..BLOCKS).map(|i| data::query(&format!("www.{}", name(i)), Rtype::A)).collect();
    let set = Set { origin: ORIGIN, zone: all.into(), queries };
    let results = saturate(settings, &recipes, &set.queries[0], &set);
    report("many blocks", &recipes, &results);
    println!();
    for one in (1..recipes.len()).step_by(2) {
        let pairs = results[one].iter().zip(&results[one + 1]);
        let ratio = median(pairs.map(|(one, many)| many.cpu() / one.cpu()).collect());
        println!("{}: {ratio:.2} times the CPU time of one", recipes[one + 1].name);
    }
}

fn recipe(settings: &Settings, dir: &Path, name: &'static str, corefile: &str) -> Recipe {
    let corefile =
        write(&dir.join(format!("Corefile.{}", name.replace([' ', ','], "."))), corefile);
    Recipe {
        name: name.into(),
        program: settings.binary.clone(),
        arguments: vec!["-conf".into(), corefile],
        environment: vec![("GOMAXPROCS", "1")],
    }
}

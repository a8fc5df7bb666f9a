//! A Corefile: parsing and rendering never panic, and what was understood can be written down and
//! read back.
#![no_main]

use corefile::{Corefile, Directive, MemoryLoader, NoFiles, Token, parse, render, render_json};
use libfuzzer_sys::fuzz_target;

// The main file, then the files `a` and `b`, with a line of `---` between them.
fuzz_target!(|text: &str| {
    let mut texts = text.split("---\n").map(str::to_owned);
    let main = texts.next().unwrap_or_default();
    let mut loader = MemoryLoader::default();
    loader.files.extend(["a", "b"].into_iter().map(Into::into).zip(texts));
    let variables = [("A", "one"), ("B", "two words"), ("C", "}"), ("D", "\"x\"\n{"), ("E", "")];
    loader.env.extend(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let (understood, problems) = parse("Corefile", &main, &loader);
    let shown = render(&problems, &understood.sources);
    assert_eq!(shown.is_empty(), problems.is_empty(), "every problem is shown");
    assert!(!render_json(&problems, &understood.sources).is_empty());
    if problems.has_errors() {
        return;
    }
    let printed = print(&understood);
    // The comma at a key's end, quoted or not, says that another key follows.
    let keys = || understood.blocks.iter().flat_map(|block| &block.keys);
    if keys().any(|key| key.as_str().ends_with(',')) {
        return;
    }
    // No quotes can hold a word with a variable's name left in it, with a backslash before a quote
    // or with one at its end: in quotes, as in CoreDNS, two backslashes do not stand for one.
    if ["{$", "{%", "\\\\\"", "\\\" "].iter().any(|odd| printed.contains(odd)) {
        return;
    }
    let (again, problems) = parse("printed", &printed, &NoFiles);
    let shown = render(&problems, &again.sources);
    assert!(!problems.has_errors(), "printed as\n{printed}\nwhich is refused:\n{shown}");
    assert_eq!(again.fingerprint_json(), understood.fingerprint_json(), "printed as\n{printed}");
});

fn print(corefile: &Corefile) -> String {
    let block = |block: &corefile::ServerBlock| {
        format!("{}{{\n{}}}\n", words(&block.keys), lines(&block.directives))
    };
    corefile.blocks.iter().map(block).collect()
}

fn lines(directives: &[Directive]) -> String {
    let line = |line: &Directive| {
        let head = format!("{}{}", words(std::slice::from_ref(&line.name)), words(&line.args));
        let body = line.body.as_ref().map(|body| format!("{{\n{}}}", lines(body)));
        format!("{head}{}\n", body.unwrap_or_default())
    };
    directives.iter().map(line).collect()
}

fn words(tokens: &[Token]) -> String {
    tokens.iter().map(|token| format!("\"{}\" ", token.text.replace('"', "\\\""))).collect()
}

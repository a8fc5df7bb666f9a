//! Expressions and what becomes of them. Values and mistakes are those of expr-lang 1.17.8.

use crate::{Environment, Error, Expr, Function, Scope, Type, Value};

/// `answer()` is 42, `words()` an array, `who` a variable, `bad()` always fails.
struct Table;

impl Environment for Table {
    fn call<'v>(&'v self, function: usize, arguments: &[Value<'v>]) -> Result<Value<'v>, String> {
        match function {
            0 => Ok(Value::Int(42)),
            1 => Ok(Value::list(vec![Value::lent("b"), Value::text("a"), Value::lent("c")])),
            2 => Err("it is bad".to_owned()),
            3 => Ok(arguments[0].clone()),
            _ => Ok(Value::lent("10.1.2.3")),
        }
    }

    fn variable(&self, _: usize) -> Value<'_> {
        Value::lent("me")
    }
}

fn scope() -> Scope {
    let mut scope = Scope::default();
    let mut add = |name, parameters, result| scope.function(Function { name, parameters, result });
    add("answer", &[], Type::Int);
    add("words", &[], Type::list(Type::Text));
    add("bad", &[], Type::Bool);
    add("same", &[Type::Any], Type::Any);
    add("ip", &[], Type::Text);
    scope.variable("who", Type::Text);
    scope
}

/// The value as it is shown, or the message of the mistake behind `parse:` or `eval:`.
fn said(text: &str) -> String {
    match Expr::parse(text, &scope()) {
        Ok(expr) => match expr.eval(&Table) {
            Ok(value) => value.to_string(),
            Err(error) => format!("eval: {}", error.message),
        },
        Err(error) => format!("parse: {}", error.message),
    }
}

fn all(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(said(text), *expected, "{text}");
    }
}

#[test]
fn literals_and_arithmetic() {
    all(&[
        ("1_000 + 0x10 + 0b11 + 0o17", "1034"),
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("7 / 2", "3.5"),
        ("6 / 2", "3"),
        ("7 % 4", "3"),
        ("-7 % 4", "-3"),
        ("2 ** 3 ** 2", "512"),
        ("-2 ^ 2", "-4"),
        ("1 - -1", "2"),
        ("+.5 + 1", "1.5"),
        ("1e3", "1000"),
        ("'a' + \"b\" + `c`", "abc"),
        ("b'\\x01a'", "[1 97]"),
        ("[1, 'a', nil, true,]", "[1 a <nil> true]"),
        ("{a: 1, 'b c': 2, 3: 4, ('x' + 'y'): 5}", "map[3:4 a:1 b c:2 xy:5]"),
        ("9223372036854775807 + 1", "-9223372036854775808"),
        ("9223372036854775808", "parse: `9223372036854775808` is not a number or is too large"),
        ("1 % 0", "eval: division by zero"),
        ("1 / 0", "+Inf"),
        ("1; 2", "2"),
        ("1 // one\n + /* two */ 2", "3"),
    ]);
}

#[test]
fn conditions() {
    all(&[
        ("1 == 1.0 and 1 != 2 && !(2 < 1) or bad()", "true"),
        ("false and bad()", "false"),
        ("not true or true", "true"),
        ("not (true or true)", "false"),
        ("1 < 2 < 3", "true"),
        ("1 < 3 < 2", "false"),
        ("'a' < 'b'", "true"),
        ("true ? 1 : 2", "1"),
        ("false ? 1 : true ? 2 : 3", "2"),
        ("true ?: bad()", "true"),
        ("if answer() > 40 { 'big' } else if answer() > 30 { 'middle' } else { 'small' }", "big"),
        ("nil ?? 'x'", "x"),
        ("who ?? 'x'", "me"),
        ("nil == nil", "true"),
        ("[1, 2.0] == [1.0, 2]", "true"),
        ("{a: 1} == {a: 1.0}", "true"),
        ("[1] == nil", "false"),
        ("1 ?? 2 + 3", "parse: `??` and `+` cannot be mixed"),
        ("1 and true", "parse: `and` expects bool, found int"),
        ("same(1) and true", "eval: expected bool, found int"),
        ("1 ? 2 : 3", "parse: a condition must be bool, found int"),
        ("1 == 'a'", "parse: `==` does not accept int and string"),
        ("1 < 'a'", "parse: `<` does not accept int and string"),
        ("same(1) < 'a'", "eval: `<` does not accept int and string"),
    ]);
}

#[test]
fn texts_and_membership() {
    all(&[
        ("'ab' contains 'b' and 'ab' startsWith 'a' and 'ab' endsWith 'b'", "true"),
        ("'ab' not contains 'b'", "false"),
        ("'ab.cd' matches '^ab\\\\.c'", "true"),
        ("same('ab') matches '^' + 'a'", "true"),
        ("same(nil) matches 'a'", "false"),
        ("'a' not matches 'b'", "true"),
        ("'a' matches '('", "parse: invalid regular expression: unclosed group"),
        ("'a' in ['a', 'b']", "true"),
        ("1 not in [1.0]", "false"),
        ("'a' in {a: 1}", "true"),
        ("'x' in words()", "false"),
        ("'a' in 'abc'", "parse: `in` does not accept string and string"),
        ("1 in ['a']", "parse: `in` does not accept int and array"),
        ("1 in {a: 1}", "parse: `in` does not accept int and map"),
        ("'who' in $env and 'nobody' not in $env", "true"),
        ("$env.who + $env['who'] + string($env.answer())", "meme42"),
        ("$env?.nobody == nil", "true"),
        ("$env", "parse: `$env` cannot be used by itself"),
        ("incidr(ip(), '10.0.0.0/8') and not incidr('::1', same('::2/128'))", "true"),
        ("incidr(ip(), '10.0.0.0/99')", "parse: `10.0.0.0/99` is not an address range"),
        ("incidr('x', '10.0.0.0/8')", "eval: `x` is not an IP address"),
        ("any(['1.0.0.0/8', '10.0.0.0/8'], incidr(ip(), #))", "true"),
    ]);
}

#[test]
fn elements_and_slices() {
    all(&[
        ("[1, 2, 3][0] + [1, 2, 3][-1]", "4"),
        ("words()[1]", "a"),
        ("[1][1]", "eval: index 1 is out of range for a length of 1"),
        ("[1]['a']", "parse: an index must be int, found string"),
        ("{a: {b: 7}}.a.b", "7"),
        ("{a: 1}['b']", "<nil>"),
        ("{a: 1}.b.c", "eval: nil has no element `c`"),
        ("{a: 1}.b?.c.d", "<nil>"),
        ("{a: {b: [1]}}.a?.b?.[0]", "1"),
        ("{'not': 1}.not", "1"),
        ("{a: 1}.a.b", "eval: int cannot be indexed"),
        ("'abc'.d", "parse: string has no field `d`"),
        ("'abc'.d()", "parse: string has no method `d`"),
        ("[1, 2, 3, 4][1:3]", "[2 3]"),
        ("words()[:-1]", "[b a]"),
        ("[1, 2, 3][5:]", "[]"),
        ("'hello'[1:3] + 'hello'[3:] + 'hello'[:]", "ellohello"),
        ("'ä'[1:]", "eval: `[:]` would split a UTF-8 character"),
        ("1[1:]", "parse: unexpected `[`"),
        ("(1)[1:]", "parse: int cannot be sliced with `[:]`"),
        ("3..1", "[]"),
        ("(1..5)[2]", "3"),
        ("1..3 == [1, 2, 3]", "true"),
    ]);
}

#[test]
fn variables_and_pipes() {
    all(&[
        ("let x = 2; let y = x * 3; x + y", "8"),
        ("let x = 1; map([1, 2], # + x)", "[2 3]"),
        ("map([1, 2], {let y = # * 2; y + 1})", "[3 5]"),
        ("let who = 1; who", "parse: `who` is already declared"),
        ("let len = 1; len", "parse: `len` is already declared"),
        ("let x = 1; let x = 2; x", "parse: `x` is already declared"),
        ("'a b' | upper() | split(' ')", "[A B]"),
        ("words() | map(# + '!') | join(',')", "b!,a!,c!"),
        ("-1 | abs()", "1"),
        ("::len('abc')", "3"),
        ("x", "parse: unknown name `x`"),
        ("answer", "parse: `answer` is a function"),
        ("who()", "parse: `who` is not a function"),
        ("answer(1)", "parse: `answer` expects 0 arguments, found 1"),
        ("type(1)", "parse: unknown name `type`"),
    ]);
}

#[test]
fn functions_over_arrays() {
    all(&[
        (
            "all(1..3, # > 0) and none(1..3, # > 3) and any(1..3, # == 2) and one(1..3, # == 2)",
            "true",
        ),
        ("all([], false)", "true"),
        ("filter(1..9, # % 2 == 0)", "[2 4 6 8]"),
        ("filter(1..9, {# % 2 == 0})", "[2 4 6 8]"),
        ("map(['a', 'b'], # + string(#index))", "[a0 b1]"),
        ("map([{n: 1}, {n: 2}], .n)", "[1 2]"),
        ("map([{n: 1}, {n: 2}], #.n + 1)", "[2 3]"),
        ("count(1..9, # > 5)", "4"),
        ("count([true, false, true])", "2"),
        ("sum(1..4)", "10"),
        ("sum([1, 2.5])", "3.5"),
        ("sum(1..3, # * 2)", "12"),
        ("find(1..9, # > 3)", "4"),
        ("find(1..9, # > 30)", "<nil>"),
        ("findIndex(1..9, # > 3)", "3"),
        ("findLast(1..9, # < 3)", "2"),
        ("findLastIndex(1..9, # < 3)", "1"),
        ("groupBy(1..5, # % 2)", "map[0:[2 4] 1:[1 3 5]]"),
        ("groupBy(1..5, # % 2)[1]", "[1 3 5]"),
        ("groupBy(1..5, # % 2)[7]", "<nil>"),
        ("sortBy([3, 1, 2], -#)", "[3 2 1]"),
        ("sortBy(['bb', 'a'], len(#), 'desc')", "[bb a]"),
        ("reduce(1..4, #acc + #)", "10"),
        ("reduce(1..4, #acc + # * #index, 100)", "120"),
        ("reduce([], #acc)", "eval: `reduce` of an empty array needs an initial value"),
        ("map([[1, 2], [3]], map(#, # * 2))", "[[2 4] [6]]"),
        ("all([1], #)", "parse: the predicate of `all` must be bool, found int"),
        ("all(1, true)", "parse: `all` expects an array, found int"),
        ("all([1])", "parse: the predicate is missing"),
        ("#", "parse: `#` is used outside a predicate"),
        ("filter([1], #index > 0)", "parse: `#index` is not available here"),
        ("filter([1], true; true)", "parse: a predicate of several expressions needs braces"),
    ]);
}

#[test]
fn functions_of_texts() {
    all(&[
        ("trim('  a ') + trim('__b__', '_')", "ab"),
        ("trimPrefix('ab', 'a') + trimSuffix('ab', 'b') + trimPrefix(' c')", "bac"),
        ("lower('AB') + upper('cd')", "abCD"),
        ("split('a,b,c', ',')", "[a b c]"),
        ("split('a,b,c', ',', 2)", "[a b,c]"),
        ("split('a,b', ',', 0)", "[]"),
        ("len(split('', ','))", "1"),
        ("split('abc', '')", "[a b c]"),
        ("splitAfter('a,b,c', ',')", "[a, b, c]"),
        ("splitAfter('a,b,c', ',', 2)", "[a, b,c]"),
        ("replace('aaa', 'a', 'b')", "bbb"),
        ("replace('aaa', 'a', 'b', 2)", "bba"),
        ("repeat('ab', 3)", "ababab"),
        ("repeat('ab', 1000000)", "eval: the string would be too long"),
        ("repeat('a', -1)", "eval: `repeat` expects a count of at least 0"),
        ("join(['a', 'b'], '-') + join(words())", "a-bbac"),
        ("join([1])", "eval: `join` does not accept int"),
        ("indexOf('abab', 'b')", "1"),
        ("lastIndexOf('abab', 'b')", "3"),
        ("indexOf('abab', 'c')", "-1"),
        ("hasPrefix('ab', 'a') and hasSuffix('ab', 'b')", "true"),
        ("string(1.5) + string(nil) + string([1])", "1.5<nil>[1]"),
        (
            "toJSON({a: [1, 'x<'], b: {}})",
            "{\n  \"a\": [\n    1,\n    \"x\\u003c\"\n  ],\n  \"b\": {}\n}",
        ),
        ("fromJSON('{\"a\": [1, null]}').a[0]", "1"),
        ("fromJSON('{')", "eval: invalid JSON: EOF while parsing an object at line 1 column 1"),
        ("toBase64('Hello World') + toBase64('a') + toBase64('ab')", "SGVsbG8gV29ybGQ=YQ==YWI="),
        ("fromBase64('SGVsbG8gV29ybGQ=') + fromBase64('YQ==')", "Hello Worlda"),
        ("fromBase64('YQ')", "eval: invalid Base64"),
        ("len('äb')", "2"),
        ("upper(1)", "parse: `upper` expects string here, found int"),
        ("upper()", "parse: `upper` expects 1 argument, found 0"),
    ]);
}

#[test]
fn functions_of_numbers_and_arrays() {
    all(&[
        ("abs(-5) + abs(-1.5)", "6.5"),
        ("[ceil(1.2), floor(-1.2), round(-1.5), round(2)]", "[2 -2 -2 2]"),
        ("int('12') + int(3.9)", "15"),
        ("float('1.5') + float(1)", "2.5"),
        ("int('x')", "eval: `x` is not a number"),
        ("max(1, 3, 2) + min([4, 2.5], 3)", "5.5"),
        ("max([])", "<nil>"),
        ("[mean(1, 2, 6), mean([]), median([3, 1, 2]), median(1, 2, 3, 4)]", "[3 0 2 2.5]"),
        (
            "[bitand(10, 12), bitor(10, 12), bitxor(10, 12), bitnand(10, 12), bitnot(10)]",
            "[8 14 6 2 -11]",
        ),
        (
            "[bitshl(45, 2), bitshr(45, 2), bitushr(-5, 2), bitshl(1, 64)]",
            "[180 11 4611686018427387902 0]",
        ),
        ("bitshl(1, -1)", "eval: `bitshl` cannot shift by -1"),
        ("first([1, 2]) + last([1, 2])", "3"),
        ("first([])", "<nil>"),
        ("take([1, 2, 3], 2)", "[1 2]"),
        ("take([1], 9)", "[1]"),
        ("get([1], 5)", "<nil>"),
        ("get({a: 1}, 'a')", "1"),
        ("concat([1], [2], [3])", "[1 2 3]"),
        ("flatten([1, [2, [3]]])", "[1 2 3]"),
        ("uniq([1, 2, 1.0])", "[1 2]"),
        ("reverse(words())", "[c a b]"),
        ("sort(words())", "[a b c]"),
        ("sort([2, 1.5, 3], 'desc')", "[3 2 1.5]"),
        (
            "sort([1, 'a'])",
            "eval: cannot sort mixed types: all must be numbers, or all must be strings",
        ),
        ("sort([1], 'up')", "eval: the order must be `asc` or `desc`, found `up`"),
        ("keys({b: 1, a: 2})", "[a b]"),
        ("values({b: 1, a: 2})", "[2 1]"),
        ("toPairs({b: 1, a: 2})", "[[a 2] [b 1]]"),
        ("fromPairs([['a', 1], [2, 'b']])[2]", "b"),
        ("fromPairs([[1]])", "eval: a pair must be an array of two elements, found an array of 1"),
        ("len({a: 1}) + len([1]) + len(b'ab')", "4"),
    ]);
}

fn mistake(text: &str) -> Error {
    Expr::parse(text, &scope()).unwrap_err()
}

#[test]
fn mistakes_are_at_their_place() {
    let part = |text: &'static str| {
        let error = mistake(text);
        &text[error.offset..error.offset + error.len]
    };
    assert_eq!(part("true and wurds() == 1"), "wurds");
    assert_eq!(mistake("wurds()").help.as_deref(), Some("did you mean `words`?"));
    assert_eq!(part("answer() == '42'"), "==");
    assert_eq!(part("upper(answer())"), "answer");
    assert_eq!(part("who matches '['"), "'['");
    assert_eq!(part("who + )"), ")");
    assert_eq!(part("'a\\q'"), "\\q");
    assert_eq!(part("who & who"), "&");
    let end = mistake("who ==");
    assert_eq!((end.offset, end.message.as_str()), (6, "unexpected end of the expression"));
    assert_eq!(mistake("  ").message, "the expression is empty");
}

#[test]
fn work_memory_and_depth_are_bounded() {
    all(&[
        ("count(1..999999, true) == 1", "eval: the expression takes too long"),
        ("map(1..900000, 1) == []", "eval: the expression needs too much memory"),
        ("1..2000000", "eval: the range is too long"),
        ("all(1..2000, all(1..2000, true))", "eval: the expression takes too long"),
        ("reduce(1..40, #acc + #acc, 'abcdefgh')", "eval: the expression needs too much memory"),
        (
            "same('a') matches same('(((a{99}){99}){99})')",
            "eval: this regular expression is too large",
        ),
    ]);
    let doubled: String = (0..40).map(|n| format!("let x{} = [x{n}, x{n}]; ", n + 1)).collect();
    assert_eq!(
        said(&format!("let x0 = [same(1)]; {doubled} x40 == x40")),
        "eval: the expression needs too much memory"
    );
    for deep in ["(", "[", "not ", "-", "map([1], ", "1 + (", "true ? 1 : "] {
        let error = mistake(&deep.repeat(5_000));
        assert_eq!(error.message, "the expression is nested too deeply", "{deep}");
    }
    assert_eq!(
        said(&("1".to_owned() + &" + 1".repeat(100))),
        "parse: the expression is nested too deeply"
    );
    assert_eq!(said(&("false".to_owned() + &" or false".repeat(2_000))), "false", "these are flat");
    assert_eq!(said(&"1,".repeat(40_000)), "parse: the expression is longer than 65536 bytes");
}

#[test]
fn types_are_known_where_they_can_be() {
    let kind = |text: &str| Expr::parse(text, &scope()).unwrap().kind().clone();
    assert_eq!(kind("answer() > 1 or bad()"), Type::Bool);
    assert_eq!(kind("answer() + 1"), Type::Int);
    assert_eq!(kind("answer() / 1"), Type::Float);
    assert_eq!(kind("true ? 1 : nil"), Type::Int);
    assert_eq!(kind("true ? 1 : 'a'"), Type::Any);
    assert_eq!(kind("map(words(), len(#))"), Type::list(Type::Int));
    assert_eq!(kind("find(words(), true)"), Type::Any);
    assert_eq!(kind("same(1)"), Type::Any);
}

//! The `var` and `expr` options: values that are computed from the query, and conditions on it.

use std::borrow::Cow;
use std::cell::OnceCell;

use exchange::Query;
use expr::{Environment, Expr, Function, Held, QueryEnvironment, Scope, Type, Value};

use super::pattern::Pattern;

/// The variables and conditions of a stanza.
pub(super) struct Conditions {
    /// What the next expression may name.
    pub(super) scope: Scope,
    /// Names and expressions, in order.
    pub(super) variables: Vec<(String, Expr)>,
    /// All must be true.
    pub(super) conditions: Vec<Expr>,
}

/// The values of the variables, in order.
pub(super) type Values = Vec<Value<'static>>;

impl Conditions {
    pub(super) fn new() -> Self {
        let mut scope = Scope::of_queries();
        scope.function(Function { name: "group", parameters: &[Type::Any], result: Type::Text });
        Self { scope, variables: Vec::new(), conditions: Vec::new() }
    }

    /// Whether there is nothing to compute.
    pub(super) fn is_empty(&self) -> bool {
        self.variables.is_empty() && self.conditions.is_empty()
    }

    /// Whether a variable cannot have this name, because it means something else already.
    pub(super) fn is_reserved(&self, name: &str) -> bool {
        if self.scope.is_taken(name) {
            return true;
        }
        // A type that nothing else has: if the name alone has it, it is the variable.
        let kind = Type::list(Type::list(Type::list(Type::Bytes)));
        let mut scope = self.scope.clone();
        scope.variable(name, kind.clone());
        Expr::parse(name, &scope).map_or(true, |expr| *expr.kind() != kind)
    }

    /// Declares a variable.
    pub(super) fn declare(&mut self, name: &str, expr: Expr) {
        self.scope.variable(name, expr.kind().clone());
        self.variables.push((name.to_owned(), expr));
    }

    /// Computes the variables, and tells whether all conditions are true. Errors: something cannot
    /// be computed.
    pub(super) fn hold(
        &self,
        query: &Query,
        name: &str,
        pattern: &Pattern,
        values: &mut Values,
    ) -> Result<bool, expr::Error> {
        values.clear();
        let env = Asked {
            query: QueryEnvironment::new(query),
            name,
            pattern,
            captures: OnceCell::new(),
            values,
        };
        for (_, variable) in &self.variables {
            let value = owned(&variable.eval(&env)?);
            env.values.push(value);
        }
        for condition in &self.conditions {
            if !condition.is_true(&env)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The values as bodies see them.
    pub(super) fn shown<'v>(&'v self, values: &'v [Value<'static>]) -> gotemplate::Map<'v> {
        let mut entries: Vec<(Cow<'v, str>, gotemplate::Value<'v>)> = self
            .variables
            .iter()
            .zip(values)
            .map(|((name, _), value)| (Cow::Borrowed(name.as_str()), shown(value)))
            .collect();
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        gotemplate::Map { entries: entries.into(), of: gotemplate::Of::Any }
    }
}

/// A query, what an expression captured of its name, and the variables so far.
struct Asked<'q> {
    query: QueryEnvironment<'q>,
    name: &'q str,
    pattern: &'q Pattern,
    captures: OnceCell<Vec<&'q str>>,
    values: &'q mut Values,
}

impl Environment for Asked<'_> {
    fn call<'v>(&'v self, function: usize, arguments: &[Value<'v>]) -> Result<Value<'v>, String> {
        if function < QueryEnvironment::FUNCTIONS {
            return self.query.call(function, arguments);
        }
        let captures = self.captures.get_or_init(|| self.pattern.captures(self.name));
        let group = match arguments {
            [Value::Int(number)] => usize::try_from(*number).ok(),
            [Value::Text(key)] => self.pattern.group(key),
            _ => None,
        };
        Ok(Value::lent(group.and_then(|group| captures.get(group)).copied().unwrap_or_default()))
    }

    fn variable(&self, variable: usize) -> Value<'_> {
        self.values.get(variable).map_or(Value::Nil, Value::lend)
    }

    fn address(&self, function: usize) -> Option<std::net::IpAddr> {
        self.query.address(function)
    }
}

/// The same value with memory of its own.
fn owned(value: &Value<'_>) -> Value<'static> {
    match value {
        Value::Nil => Value::Nil,
        Value::Bool(yes) => Value::Bool(*yes),
        Value::Int(number) => Value::Int(*number),
        Value::Float(number) => Value::Float(*number),
        Value::Text(text) => Value::text(&**text),
        Value::Bytes(bytes) => Value::Bytes(Held::Shared((&**bytes).into())),
        Value::List(items) => Value::list(items.iter().map(owned).collect()),
        Value::Map(map) => {
            let pairs = map.iter().filter_map(|(key, value)| {
                Some((expr::Key::new(owned(&key.value()))?, owned(value)))
            });
            Value::map(pairs.collect())
        }
    }
}

/// The value as bodies see it.
fn shown<'v>(value: &'v Value<'static>) -> gotemplate::Value<'v> {
    match value {
        Value::Nil => gotemplate::Value::None,
        Value::Bool(yes) => gotemplate::Value::Bool(*yes),
        Value::Int(number) => gotemplate::Value::Int(*number),
        Value::Float(number) => gotemplate::Value::Float(*number),
        Value::Text(text) => gotemplate::Value::text(text),
        Value::Bytes(bytes) => gotemplate::Value::List(gotemplate::List {
            items: bytes.iter().map(|byte| gotemplate::Value::Uint(u64::from(*byte), 8)).collect(),
            of: gotemplate::Of::Any,
        }),
        Value::List(items) => gotemplate::Value::List(gotemplate::List {
            items: items.iter().map(shown).collect(),
            of: gotemplate::Of::Any,
        }),
        Value::Map(map) => {
            let mut entries: Vec<(Cow<'v, str>, gotemplate::Value<'v>)> = map
                .iter()
                .map(|(key, value)| (Cow::Owned(key.value().to_string()), shown(value)))
                .collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            gotemplate::Value::Map(gotemplate::Map {
                entries: entries.into(),
                of: gotemplate::Of::Any,
            })
        }
    }
}

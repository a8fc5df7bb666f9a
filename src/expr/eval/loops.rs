//! The evaluation of functions that evaluate an argument for each element of an array.

use super::run::{Halt, Run, Running};
use crate::functions::lists;
use crate::tree::loops::LoopKind;
use crate::tree::node::Loop;
use crate::tree::operator::Op;
use crate::value::{Key, Map};
use crate::{Held, Value, ops};

impl<'v> Run<'v> {
    pub(crate) fn run_loop(&mut self, run: &'v Loop) -> Result<Value<'v>, Halt> {
        let over = self.get(&run.over)?;
        let Value::List(items) = over else {
            let message = format!("`{}` expects an array, found {}", run.kind.name(), over.kind());
            return Err(Halt::error(run.spot, message));
        };
        match run.kind {
            LoopKind::Reduce => self.reduce(run, &items),
            LoopKind::GroupBy => self.group(run, &items),
            LoopKind::SortBy => self.sort(run, &items),
            LoopKind::Map => {
                let all: Result<Vec<Value<'v>>, Halt> =
                    (0..items.len()).map(|index| self.at(run, &items, index, Value::Nil)).collect();
                self.keep(Value::list(all?), run.spot)
            }
            LoopKind::Sum => {
                let mut sum = Value::Int(0);
                for index in 0..items.len() {
                    let value = self.at(run, &items, index, Value::Nil)?;
                    sum = ops::apply(Op::Add, value, sum)
                        .map_err(|message| Halt::error(run.spot, message))?;
                }
                Ok(sum)
            }
            _ => self.ask(run, &items),
        }
    }

    /// The functions that ask a question about each element.
    fn ask(&mut self, run: &'v Loop, items: &Held<'v, [Value<'v>]>) -> Result<Value<'v>, Halt> {
        let backwards = matches!(run.kind, LoopKind::FindLast | LoopKind::FindLastIndex);
        let mut count = 0;
        let mut kept = Vec::new();
        for step in 0..items.len() {
            let index = if backwards { items.len() - 1 - step } else { step };
            let value = self.at(run, items, index, Value::Nil)?;
            let Value::Bool(yes) = value else {
                let (name, kind) = (run.kind.name(), value.kind());
                let message = format!("the predicate of `{name}` must be bool, found {kind}");
                return Err(Halt::error(run.spot, message));
            };
            let element = || lists::item(items, index).unwrap_or(Value::Nil);
            match (run.kind, yes) {
                (LoopKind::All, false) | (LoopKind::None, true) => return Ok(Value::Bool(false)),
                (LoopKind::Any, true) => return Ok(Value::Bool(true)),
                (LoopKind::Find | LoopKind::FindLast, true) => return Ok(element()),
                (LoopKind::FindIndex | LoopKind::FindLastIndex, true) => {
                    return Ok(Value::Int(index as i64));
                }
                (LoopKind::Filter, true) => kept.push(element()),
                (_, yes) => count += i64::from(yes),
            }
        }
        match run.kind {
            LoopKind::All | LoopKind::None => Ok(Value::Bool(true)),
            LoopKind::Any => Ok(Value::Bool(false)),
            LoopKind::One => Ok(Value::Bool(count == 1)),
            LoopKind::Count => Ok(Value::Int(count)),
            LoopKind::Filter => self.keep(Value::list(kept), run.spot),
            _ => Ok(Value::Nil),
        }
    }

    /// The predicate's value for one element; without a predicate, the element.
    fn at(
        &mut self,
        run: &'v Loop,
        items: &Held<'v, [Value<'v>]>,
        index: usize,
        accumulator: Value<'v>,
    ) -> Result<Value<'v>, Halt> {
        let element = lists::item(items, index).unwrap_or(Value::Nil);
        let Some(body) = &run.body else { return Ok(element) };
        let running = Running { element, index: index as i64, accumulator };
        let around = self.running.replace(running);
        let value = self.get(body);
        self.running = around;
        value
    }

    fn reduce(&mut self, run: &'v Loop, items: &Held<'v, [Value<'v>]>) -> Result<Value<'v>, Halt> {
        let (mut value, from) = match &run.extra {
            Some(first) => (self.get(first)?, 0),
            None => match lists::item(items, 0) {
                Some(first) => (first, 1),
                None => {
                    let message = "`reduce` of an empty array needs an initial value";
                    return Err(Halt::error(run.spot, message));
                }
            },
        };
        for index in from..items.len() {
            value = self.at(run, items, index, value)?;
        }
        Ok(value)
    }

    fn group(&mut self, run: &'v Loop, items: &Held<'v, [Value<'v>]>) -> Result<Value<'v>, Halt> {
        let mut groups: std::collections::BTreeMap<Key<'v>, Vec<Value<'v>>> = Default::default();
        for index in 0..items.len() {
            let key = self.at(run, items, index, Value::Nil)?;
            let Some(key) = Key::new(key) else {
                return Err(Halt::error(
                    run.spot,
                    "an array, a map or bytes cannot be a group key",
                ));
            };
            groups.entry(key).or_default().extend(lists::item(items, index));
        }
        let groups = groups.into_iter().map(|(key, items)| (key, Value::list(items)));
        self.keep(Value::map(groups.collect::<Map<'v>>()), run.spot)
    }

    fn sort(&mut self, run: &'v Loop, items: &Held<'v, [Value<'v>]>) -> Result<Value<'v>, Halt> {
        let order = run.extra.as_ref().map(|order| self.get(order)).transpose()?;
        let mut pairs = Vec::with_capacity(items.len());
        for index in 0..items.len() {
            let key = self.at(run, items, index, Value::Nil)?;
            pairs.push((key, lists::item(items, index).unwrap_or(Value::Nil)));
        }
        let sorted = lists::is_descending(order.as_ref())
            .and_then(|descending| lists::sort_by(pairs, descending))
            .map_err(|message| Halt::error(run.spot, message))?;
        self.keep(sorted, run.spot)
    }
}

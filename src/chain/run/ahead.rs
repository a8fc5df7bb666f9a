//! Prefetches the memory that the plugins of a chain will read, before the first query of a batch.

use exchange::Query;
use wire::prefetch::lines;

use crate::Roles;

/// Queries of one batch that go to the same chain.
#[derive(Clone, Copy)]
pub struct Batch<'a>(&'a [&'a Query]);

impl<'a> Batch<'a> {
    /// The most queries of a batch.
    pub const MOST: usize = 64;

    /// A batch of these queries.
    pub fn new(queries: &'a [&'a Query]) -> Self {
        Self(queries)
    }

    /// The queries.
    #[inline]
    pub fn queries(&self) -> impl Iterator<Item = &'a Query> {
        self.0.iter().copied()
    }
}

/// The most stages of a plugin.
const MAX_STAGES: usize = 4;

/// The links whose plugins are prefetched themselves.
const PREFETCHED_LINKS: usize = 16;

/// The most cache lines of one plugin: larger ones are seldom read as a whole.
const MAX_LINES: usize = 6;

/// The memory of a chain that is worth prefetching.
pub(crate) struct Ahead {
    /// Bit `n` of element `s` is set if link `n` has stage `s`. Only the first 64 links have stages.
    stages: [u64; MAX_STAGES],
    /// Four bits for each link: cache lines of the plugin itself.
    own_lines: u64,
}

impl Ahead {
    /// That of these plugins, in the order of their links.
    pub(crate) fn of<'p, P: ?Sized + 'p>(
        plugins: impl Iterator<Item = (&'p P, Roles<'p>)>,
    ) -> Self {
        let mut ahead = Self { stages: [0; MAX_STAGES], own_lines: 0 };
        for (at, (plugin, roles)) in plugins.take(64).enumerate() {
            debug_assert!(usize::from(roles.prefetch_stages) <= MAX_STAGES);
            for stage in ahead.stages.iter_mut().take(roles.prefetch_stages.into()) {
                *stage |= 1 << at;
            }
            if at < PREFETCHED_LINKS {
                let read = size_of_val(plugin).min(roles.reads);
                let from = std::ptr::from_ref(plugin).addr();
                ahead.own_lines |= (lines(from, read).min(MAX_LINES) as u64) << (4 * at);
            }
        }
        ahead
    }

    #[inline]
    pub(crate) fn stages(&self) -> u8 {
        self.stages.iter().take_while(|wanted| **wanted != 0).count() as u8
    }

    /// Calls `prefetch` for the plugins that have this stage.
    #[inline]
    pub(crate) fn prefetch<P: ?Sized>(&self, plugins: &[Box<P>], stage: u8, prefetch: impl Fn(&P)) {
        let mut left = self.stages.get(usize::from(stage)).copied().unwrap_or(0);
        while left != 0 {
            prefetch(&plugins[left.trailing_zeros() as usize]);
            left &= left - 1;
        }
    }

    #[inline]
    pub(crate) fn prefetch_plugins<P: ?Sized>(&self, plugins: &[Box<P>]) {
        let mut left = self.own_lines;
        for plugin in plugins {
            wire::prefetch::fetch_lines(&**plugin, left as usize & 0xF);
            left >>= 4;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Link, ServeDns};

    // It begins where a line does.
    #[repr(align(64))]
    struct Plugin {
        stages: u8,
        reads: usize,
        _rest: [u8; 100],
    }

    impl ServeDns for Plugin {
        fn roles(&self) -> Roles<'_> {
            Roles { prefetch_stages: self.stages, reads: self.reads, ..Roles::default() }
        }
    }

    fn of(links: &[Link]) -> Ahead {
        Ahead::of(links.iter().map(|link| (&*link.plugin, link.plugin.roles())))
    }

    #[test]
    fn each_gets_what_it_asks_for() {
        let link = |stages, reads| Link {
            name: "test",
            plugin: Box::new(Plugin { stages, reads, _rest: [0; 100] }),
        };
        let ahead = of(&[link(0, usize::MAX), link(2, 0), link(1, 64), link(4, 65)]);
        assert_eq!(ahead.stages, [0b1110, 0b1010, 0b1000, 0b1000]);
        assert_eq!((ahead.stages(), ahead.own_lines), (4, 0x2102));
        let many: Vec<Link> = (0..70).map(|_| link(1, 1)).collect();
        assert_eq!(of(&many).stages, [u64::MAX, 0, 0, 0]);
        assert_eq!(of(&many).own_lines, 0x1111_1111_1111_1111);
    }
}

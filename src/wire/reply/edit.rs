//! Changes to records that a reply has: their TTLs, their order, which of them go.

use super::{Item, NewRecord, Reply};
use crate::name::NameBuf;
use crate::record::{Record, Section};
use crate::{Rdata, Rtype, rdata};

impl Reply {
    /// Gives every record the TTL that `edit` returns for it.
    #[inline]
    pub fn edit_ttls(&mut self, mut edit: impl FnMut(Rtype, u32) -> u32) {
        let mut at = self.question_end;
        let total: u32 = self.counts.iter().map(|&count| u32::from(count)).sum();
        for _ in 0..total {
            let Ok(record) = Record::read(&self.buf, at, Section::Answer) else { return };
            let (ttl_at, end) = (record.ttl_at, record.end);
            let ttl = edit(record.rtype, record.ttl);
            self.buf[ttl_at..ttl_at + 4].copy_from_slice(&ttl.to_be_bytes());
            at = end;
        }
    }

    /// Swaps the TTL and RDATA of two records with RDATA of the same length; offsets are those of
    /// [`Record::ttl_at`]. Owner names stay, so no compression pointer breaks as long as neither
    /// RDATA holds a name.
    #[inline]
    pub fn swap_values(&mut self, a_ttl_at: usize, b_ttl_at: usize, rdata_len: usize) {
        // TTL (4), RDLENGTH (2) and RDATA lie side by side.
        for offset in 0..6 + rdata_len {
            self.buf.swap(a_ttl_at + offset, b_ttl_at + offset);
        }
    }

    /// Lets `plan` drop, reorder, move and re-time records, then writes the reply anew with fresh
    /// compression. The plan gets the reply as it was, which the offsets of its items are for.
    /// Memory is reused from call to call.
    pub fn rearrange(&mut self, plan: impl FnOnce(&[u8], &mut Vec<Item>)) {
        let mut items = std::mem::take(&mut self.items);
        items.clear();
        items.extend(self.records().filter_map(Result::ok).map(|record| Item {
            section: record.section,
            rtype: record.rtype,
            ttl: record.ttl,
            start: record.start,
            rdata_at: record.rdata_at,
            end: record.end,
        }));
        plan(&self.buf, &mut items);
        items.sort_by_key(|item| item.section);
        let old = std::mem::replace(&mut self.buf, std::mem::take(&mut self.scratch));
        let mut expanded = std::mem::take(&mut self.expanded);
        self.buf.clear();
        self.buf.extend_from_slice(&old[..self.question_end]);
        self.plain_len = self.question_end as u32;
        self.compressor.reset();
        self.counts = [0; 3];
        let mut owner = NameBuf::new();
        for item in &items {
            let Ok(record) = Record::read(&old, item.start, item.section) else { continue };
            expanded.clear();
            let readable = record.owner(&mut owner).is_ok()
                && rdata::expand(item.rtype, &old, item.rdata_at, item.end, &mut expanded).is_ok();
            if readable {
                let rdata = Rdata::Other(item.rtype, &expanded);
                let record = NewRecord::new(owner.as_wire(), item.ttl, rdata).class(record.class);
                self.push(item.section, record);
            }
        }
        self.items = items;
        self.expanded = expanded;
        self.scratch = old;
    }

    /// Drops all records of a section.
    pub fn drop_section(&mut self, section: Section) {
        if self.count(section) == 0 {
            return;
        }
        if self.ends_in(section) {
            self.cut(section);
        } else {
            self.rearrange(|_, items| items.retain(|item| item.section != section));
        }
    }

    /// Drops the last section: the reply ends earlier. Names before it cannot point into it,
    /// pointers go backwards.
    fn cut(&mut self, section: Section) {
        let mut expanded = std::mem::take(&mut self.expanded);
        let mut owner = NameBuf::new();
        let mut start = self.buf.len();
        let mut plain = 0;
        for record in self.records().filter_map(Result::ok).filter(|r| r.section == section) {
            start = start.min(record.start);
            expanded.clear();
            let readable = record.owner(&mut owner).is_ok()
                && rdata::expand(
                    record.rtype,
                    &self.buf,
                    record.rdata_at,
                    record.end,
                    &mut expanded,
                )
                .is_ok();
            if readable {
                plain += (owner.as_wire().len() + 10 + expanded.len()) as u32;
            }
        }
        self.expanded = expanded;
        self.buf.truncate(start);
        self.plain_len = self.plain_len.saturating_sub(plain);
        self.counts[section as usize] = 0;
        self.compressor.reset();
    }

    // --- finishing

    /// Drops records from the end until message and OPT fit `limit`; TC says that some are gone.
    pub fn truncate_to(&mut self, limit: usize) {
        if self.buf.len() <= limit {
            return;
        }
        let mut kept = [0; 3];
        let mut end = self.question_end;
        for record in self.records() {
            let Ok(record) = record else { break };
            if record.end > limit {
                break;
            }
            kept[record.section as usize] += 1;
            end = record.end;
        }
        self.buf.truncate(end);
        self.counts = kept;
        self.truncated = true;
        self.compressor.reset();
    }
}

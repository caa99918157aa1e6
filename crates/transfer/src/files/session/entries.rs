//! What a sender has said of its files: in its manifest, with a file, or, of a hash, later.

use std::collections::BTreeMap;

use super::{Session, Told};
use crate::files::entry::{Entry, Names, Wrong};
use crate::files::message::{Status, parse_hashes, parse_manifest};
use crate::files::store::Store;

impl Session {
    /// Its entries with their numbers, as far as they are known.
    pub(in crate::files) fn entries(&self) -> impl Iterator<Item = (u32, &Entry)> {
        let manifest = self.manifest.iter().flatten();
        let early = self.early.iter().map(|(index, entry)| (*index, entry));
        (0..).zip(manifest).chain(early)
    }

    pub(in crate::files) fn entry(&self, index: u32) -> Option<&Entry> {
        match &self.manifest {
            Some(manifest) => manifest.get(index as usize),
            None => self.early.get(&index),
        }
    }

    /// Takes in hashes of files.
    pub(super) fn take_hashes(&mut self, bytes: &[u8], store: &Store) -> Option<Told> {
        match parse_hashes(self.number?, bytes) {
            Ok(hashes) => {
                for (index, hash) in hashes {
                    self.learn(index, hash, store);
                }
                None
            }
            Err(wrong) => Some(Told::Refused(Wrong::from(wrong).to_string())),
        }
    }

    /// The hash of a file is told. The first that is told counts.
    pub(super) fn learn(&mut self, index: u32, hash: [u8; 32], store: &Store) {
        let entry = match &mut self.manifest {
            Some(manifest) => manifest.get_mut(index as usize),
            None => self.early.get_mut(&index),
        };
        if let Some(entry) = entry
            && !entry.is_folder
            && entry.hash.is_none()
        {
            entry.hash = Some(hash);
            self.go_on(index, store);
        }
    }

    /// Goes on with a file that waits for its hash, where that is known: what has come of it is
    /// verified, or what is there is compared.
    pub(super) fn go_on(&mut self, index: u32, store: &Store) {
        let Some(entry) = self.entry(index) else {
            return;
        };
        if let (Status::Unhashed, Some(hash)) = (self.status(index), entry.hash) {
            match self.coming.contains_key(&index) {
                true => store.finish(self.token(index), hash),
                false => store.compare(u64::from(self.key), index, entry.clone(), &self.is_over),
            }
            self.set(index, Status::Checking);
        }
    }

    pub(super) fn take_manifest(&mut self, bytes: &[u8], store: &Store) -> Option<Told> {
        let mut entries = match parse_manifest(self.number?, bytes) {
            Ok(entries) => entries,
            Err(wrong) => return Some(Told::Refused(wrong.to_string())),
        };
        for (&index, early) in &self.early {
            match entries.get_mut(index as usize) {
                Some(entry) if entry.agrees(early) => entry.hash = entry.hash.or(early.hash),
                _ => return Some(Told::Refused("it contradicts its manifest".to_owned())),
            }
        }
        self.statuses.resize(entries.len(), Status::Unknown);
        let sum = entries.iter().map(|entry| entry.size);
        let sum = sum.fold(0, u64::saturating_add);
        let told = Told::Manifest(entries.len(), sum);
        for (index, entry) in (0..).zip(&entries) {
            if self.status(index) == Status::Unknown {
                self.set(index, Status::Checking);
                store.compare(u64::from(self.key), index, entry.clone(), &self.is_over);
            }
        }
        let waiting: Vec<u32> = self.early.keys().copied().collect();
        self.manifest = Some(entries);
        (self.early, self.early_names) = (BTreeMap::new(), Names::default());
        for index in waiting {
            self.go_on(index, store);
        }
        Some(told)
    }
}

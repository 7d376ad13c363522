//! What a worker runs scripts with: its Lua states, and its own handles of what all workers know.

use crate::base::error::{Error, Result};
use crate::script::known::{Body, MOST_EVALED, Scripts, VmMemory, error_of};
use crate::script::libraries::Set;
use foldhash::fast::RandomState;
use lua::{Sha, Vm};
use resp::Out;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A handle of one worker's own to what all workers share: cloning it does not touch a counter that others count with too.
pub(crate) type Own<T> = Arc<Arc<T>>;

/// Bytes by which what is noted of the states may be wrong.
const NOTED: usize = 1 << 20;

/// What a worker runs scripts with.
pub(crate) struct Runner {
    pub vm: Vm,
    epoch: u64,
    by_source: HashMap<Box<[u8]>, Own<Body>, RandomState>,
    by_sha: HashMap<Sha, Own<Body>, RandomState>,
    libraries: Own<Set>,
    libraries_epoch: u64,
    pub out: Out,
    memory: Arc<VmMemory>,
    runs: u32,
}

impl Runner {
    pub fn new(scripts: &Scripts) -> Runner {
        let memory = Arc::new(VmMemory::default());
        let mut vms = scripts.vms.lock();
        vms.retain(|vm| Arc::strong_count(vm) > 1);
        vms.push(memory.clone());
        Runner {
            memory,
            runs: 0,
            vm: Vm::new(),
            epoch: 0,
            by_source: HashMap::default(),
            by_sha: HashMap::default(),
            libraries: Arc::default(),
            libraries_epoch: 0,
            out: Out::default(),
        }
    }

    /// The libraries of now. Those that are gone are dropped from the worker's state.
    pub fn libraries(&mut self, scripts: &Scripts) -> Own<Set> {
        let epoch = scripts.libraries.epoch();
        if self.libraries_epoch != epoch {
            let now = scripts.libraries.current();
            for gone in self.libraries.gone_in(&now) {
                self.vm.drop_library(&gone.name);
            }
            (self.libraries, self.libraries_epoch) = (Arc::new(now), epoch);
        }
        self.libraries.clone()
    }

    /// Bytes of its states.
    pub fn memory_used(&self) -> usize {
        self.vm.memory_scripts() + self.vm.memory_functions()
    }

    /// Notes from time to time how large the states are, and at once if that is much more or less than was noted.
    pub fn note_memory(&mut self) {
        let (vm, memory) = (&self.vm, &self.memory);
        let (scripts, functions) = (vm.memory_scripts(), vm.memory_functions());
        let far = |noted: &AtomicUsize, now: usize| {
            let noted = noted.load(Relaxed);
            noted.abs_diff(now) > NOTED || noted == 0 && now > 0
        };
        let moved = far(&memory.scripts, scripts) || far(&memory.functions, functions);
        if moved || self.runs.is_multiple_of(256) {
            memory.scripts.store(scripts, Relaxed);
            memory.functions.store(functions, Relaxed);
        }
        self.runs = self.runs.wrapping_add(1);
    }

    fn follow(&mut self, scripts: &Scripts) {
        let epoch = scripts.epoch.load(Relaxed);
        if self.epoch != epoch || self.by_source.len() + self.by_sha.len() > 4 * MOST_EVALED {
            self.epoch = epoch;
            self.by_source.clear();
            self.by_sha.clear();
            self.vm.clear();
        }
    }

    /// The script with this source; new ones become known to everybody.
    pub fn eval(&mut self, scripts: &Scripts, source: &[u8]) -> Result<Own<Body>> {
        self.follow(scripts);
        if let Some(body) = self.by_source.get(source) {
            if body.evicted.load(Relaxed) && body.evicted.swap(false, Relaxed) {
                scripts.add(Arc::clone(body), true);
            }
            scripts.note_use(body);
            return Ok(body.clone());
        }
        let body = Arc::new(Body::new(source)?);
        if scripts.get(&body.sha).is_none() {
            // What does not compile is not kept.
            self.vm.compile(&body.script()).map_err(error_of)?;
        }
        let body = Arc::new(scripts.add(body, true));
        self.by_source.insert(source.into(), body.clone());
        Ok(body)
    }

    /// The script with this digest.
    pub fn evalsha(&mut self, scripts: &Scripts, sha: &[u8]) -> Result<Own<Body>> {
        self.follow(scripts);
        let sha: Sha = (sha.to_ascii_lowercase().try_into()).map_err(|_| Error::NO_SCRIPT)?;
        if let Some(body) = self.by_sha.get(&sha)
            && !body.evicted.load(Relaxed)
        {
            scripts.note_use(body);
            return Ok(body.clone());
        }
        let body = Arc::new(scripts.get(&sha).ok_or(Error::NO_SCRIPT)?);
        scripts.note_use(&body);
        self.by_sha.insert(sha, body.clone());
        Ok(body)
    }

    /// Whether it would have to compile this source.
    pub fn is_new(&self, source: &[u8]) -> bool {
        !self.by_source.contains_key(source)
    }

    /// SCRIPT LOAD.
    pub fn load(&mut self, scripts: &Scripts, source: &[u8]) -> Result<Sha> {
        self.follow(scripts);
        let body = Arc::new(Body::new(source)?);
        self.vm.compile(&body.script()).map_err(error_of)?;
        Ok(scripts.add(body, false).sha)
    }
}

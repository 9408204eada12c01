//! Threads for the calls that touch many files, so that the loop of [`crate::serve`] never waits
//! for a disk. They are there from the start: a workspace that has used up its processes can still be
//! read, and the filter of system calls knows their numbers.

use crate::{connection::refused, disk::Measure};
use execd::message::{Answer, Failure, FailureKind};
use rustix::event::{EventfdFlags, eventfd};
use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

pub(crate) const THREADS: u32 = 4;
const STACK_BYTES: usize = 512 * 1024;

/// Set when nobody waits for a job any more; long jobs look at it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cancelled(Arc<AtomicBool>);

impl Cancelled {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether both are of one call.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// For the long jobs' loops: an error once the call was given up.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.0.load(Ordering::Relaxed) { Err(refused("the call was given up")) } else { Ok(()) }
    }
}

/// What a call gives: bulk data, then the answer.
pub(crate) type Given = Result<(Vec<u8>, Answer), Failure>;

type Work = Box<dyn FnOnce(&Cancelled) -> Given + Send>;

enum Job {
    Call { stream: u32, cancelled: Cancelled, work: Work },
    Measure(Box<dyn FnOnce() -> Measure + Send>),
}

/// What a thread has done.
#[derive(Debug)]
pub(crate) enum Finished {
    Call { stream: u32, cancelled: Cancelled, given: Given },
    Measured(Measure),
}

#[derive(Debug)]
pub(crate) struct Workers {
    shared: Arc<Shared>,
    numbers: Vec<u32>,
}

struct Shared {
    queue: Mutex<VecDeque<Job>>,
    work_came: Condvar,
    finished: Mutex<Vec<Finished>>,
    wake: OwnedFd,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Workers {
    pub(crate) fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            work_came: Condvar::new(),
            finished: Mutex::default(),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        });
        let (tell, numbers) = mpsc::channel();
        for _ in 0..THREADS {
            let (shared, tell) = (Arc::clone(&shared), tell.clone());
            thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
                let _ = tell.send(rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned());
                drop(tell);
                shared.work();
            })?;
        }
        drop(tell);
        Ok(Self { shared, numbers: numbers.into_iter().collect() })
    }

    /// The first and the last of the threads' numbers among processes.
    pub(crate) fn numbers(&self) -> Option<(u32, u32)> {
        Some((*self.numbers.iter().min()?, *self.numbers.iter().max()?))
    }

    /// Readable when there is something in [`Self::finished`].
    pub(crate) fn wake(&self) -> BorrowedFd<'_> {
        self.shared.wake.as_fd()
    }

    pub(crate) fn call(&mut self, stream: u32, work: impl FnOnce(&Cancelled) -> Given + Send + 'static) -> Cancelled {
        let cancelled = Cancelled::default();
        self.queue(Job::Call { stream, cancelled: cancelled.clone(), work: Box::new(work) });
        cancelled
    }

    pub(crate) fn measure(&mut self, work: impl FnOnce() -> Measure + Send + 'static) {
        self.queue(Job::Measure(Box::new(work)));
    }

    pub(crate) fn finished(&self) -> Vec<Finished> {
        let _ = rustix::io::read(&self.shared.wake, &mut [0; 8]);
        std::mem::take(&mut lock(&self.shared.finished))
    }

    fn queue(&mut self, job: Job) {
        lock(&self.shared.queue).push_back(job);
        self.shared.work_came.notify_one();
    }
}

impl Shared {
    fn work(&self) {
        loop {
            let job = self.next_job();
            let finished = match job {
                Job::Call { stream, cancelled, work } => {
                    // What nobody waits for any more is not begun.
                    let begin = || cancelled.check().and_then(|()| work(&cancelled));
                    let given = catch_unwind(AssertUnwindSafe(begin)).unwrap_or_else(|_| {
                        Err(Failure {
                            kind: FailureKind::Io,
                            what: "execd".to_owned(),
                            why: "a bug: the call panicked".to_owned(),
                        })
                    });
                    Finished::Call { stream, cancelled, given }
                }
                Job::Measure(work) => Finished::Measured(work()),
            };
            lock(&self.finished).push(finished);
            let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        }
    }

    fn next_job(&self) -> Job {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(job) = queue.pop_front() {
                return job;
            }
            queue = self.work_came.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Actors: one thread and one mailbox for each stage. This is the only file that imports actix.
//!
//! A stage implements [`Actor`]: it handles messages, and may ask to be called when its mailbox is empty, at a time,
//! and when the engine fails. The consequences of using actix stay here:
//!
//! - Each actor runs in its own actix system on a thread that the engine owns, so that nothing depends on the caller's
//!   runtime.
//! - actix does not bound a mailbox. The engine bounds what is in flight by permits that travel in the messages
//!   (`admission`), so a mailbox only counts its messages.
//! - A busy mailbox delays the timers of its actor. An actor with a deadline therefore also checks the clock in
//!   [`Actor::handle`]; the timer only wakes it when no message does.
//!
//! In a simulation (feature `simulation`) a task with a queue hosts the actor instead, with the same rules.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Instant;

use actix::{AsyncContext, Context, Handler, Message, Recipient, SpawnHandle, System};

use crate::runtime::clock;
#[cfg(feature = "simulation")]
use crate::runtime::simulated::{self, Next, Queue, Scheduler};
use crate::runtime::thread::{self, JoinHandle};

/// A stage, as driven by its thread.
pub trait Actor: Unpin + 'static {
    /// The messages that it takes.
    type Message: Send + 'static;

    /// Handles one message.
    fn handle(&mut self, message: Self::Message);

    /// Called when the mailbox has become empty, and at [`Actor::deadline`].
    fn idle(&mut self) {}

    /// Returns the time at which [`Actor::idle`] should be called next even if no message arrives.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Drops everything that the actor holds, because the engine has failed.
    fn abort(&mut self) {}
}

/// The sending end of an actor. Messages of one sender arrive in the order in which they were sent.
#[derive(Debug)]
pub struct Mailbox<M: Send + 'static> {
    way: Way<M>,
    waiting: Arc<AtomicUsize>,
}

/// The host of an actor, as seen by its senders.
#[derive(Debug)]
enum Way<M: Send + 'static> {
    Actix(Recipient<Envelope<M>>),
    #[cfg(feature = "simulation")]
    Simulated(Queue<Envelope<M>>),
}

impl<M: Send + 'static> Way<M> {
    fn send(&self, envelope: Envelope<M>) {
        match self {
            Self::Actix(recipient) => recipient.do_send(envelope),
            #[cfg(feature = "simulation")]
            Self::Simulated(queue) => queue.push(envelope),
        }
    }
}

impl<M: Send + 'static> Clone for Way<M> {
    fn clone(&self) -> Self {
        match self {
            Self::Actix(recipient) => Self::Actix(recipient.clone()),
            #[cfg(feature = "simulation")]
            Self::Simulated(queue) => Self::Simulated(queue.clone()),
        }
    }
}

impl<M: Send + 'static> Clone for Mailbox<M> {
    fn clone(&self) -> Self {
        Self {
            way: self.way.clone(),
            waiting: self.waiting.clone(),
        }
    }
}

impl<M: Send + 'static> Mailbox<M> {
    /// Sends a message. If the actor has ended, the message is dropped.
    pub fn send(&self, message: M) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        self.way.send(Envelope::Message(message));
    }

    /// Makes the actor drop everything that it holds.
    pub fn abort(&self) {
        self.way.send(Envelope::Abort);
    }

    /// Returns the number of waiting messages.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }
}

/// A message in the form for actix.
enum Envelope<M> {
    Message(M),
    Abort,
}

impl<M: Send + 'static> Message for Envelope<M> {
    type Result = ();
}

/// An actor inside actix.
struct Host<A: Actor> {
    actor: A,
    waiting: Arc<AtomicUsize>,
    timer: Option<(Instant, SpawnHandle)>,
}

impl<A: Actor> Host<A> {
    fn after_call(&mut self, context: &mut Context<Self>) {
        if self.waiting.load(Ordering::Acquire) == 0 {
            self.actor.idle();
        }
        self.set_timer(context);
    }

    fn set_timer(&mut self, context: &mut Context<Self>) {
        let deadline = self.actor.deadline();
        if self.timer.map(|(at, _)| at) == deadline {
            return;
        }
        if let Some((_, timer)) = self.timer.take() {
            context.cancel_future(timer);
        }
        self.timer = deadline.map(|at| {
            let delay = at.saturating_duration_since(clock::now());
            let timer = context.run_later(delay, |host, context| {
                host.timer = None;
                host.actor.idle();
                host.set_timer(context);
            });
            (at, timer)
        });
    }
}

impl<A: Actor> actix::Actor for Host<A> {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.set_timer(context);
    }
}

impl<A: Actor> Handler<Envelope<A::Message>> for Host<A> {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<A::Message>, context: &mut Context<Self>) {
        match envelope {
            Envelope::Message(message) => {
                self.waiting.fetch_sub(1, Ordering::AcqRel);
                self.actor.handle(message);
            }
            Envelope::Abort => self.actor.abort(),
        }
        self.after_call(context);
    }
}

/// The thread of an actor.
#[derive(Debug)]
pub struct ActorThread {
    host: ActorHost,
    handle: JoinHandle<()>,
}

/// The handle that ends an actor.
enum ActorHost {
    Actix(System),
    /// Closes the queue.
    #[cfg(feature = "simulation")]
    Simulated(Box<dyn Fn() + Send + Sync>),
}

impl fmt::Debug for ActorHost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ActorHost")
    }
}

impl ActorThread {
    /// Ends the actor. Messages that still wait are dropped.
    pub fn stop(&self) {
        match &self.host {
            ActorHost::Actix(system) => system.stop(),
            #[cfg(feature = "simulation")]
            ActorHost::Simulated(close) => close(),
        }
    }

    /// Waits until the thread has ended.
    pub fn join(self) {
        // Stages catch their panics, and the waiters were told of the failure.
        let _ = self.handle.join();
    }
}

/// Starts an actor on its own thread. `build` gets the actor's own mailbox.
///
/// # Errors
///
/// Fails if the system has no thread left.
pub fn spawn<A: Actor>(
    name: &str,
    build: impl FnOnce(Mailbox<A::Message>) -> A + Send + 'static,
) -> io::Result<(Mailbox<A::Message>, ActorThread)> {
    #[cfg(feature = "simulation")]
    if let Some(scheduler) = simulated::current() {
        return spawn_simulated(&*scheduler, name, build);
    }
    let (started, starting) = channel();
    let handle = thread::spawn(name, move || {
        let system = System::new();
        let mailbox = system.block_on(async { start(build) });
        // If the receiver is gone, starting failed elsewhere and this thread ends too.
        if started.send((mailbox, System::current())).is_ok() {
            let _ = system.run();
        }
    })?;
    let (mailbox, system) = starting.recv().map_err(io::Error::other)?;
    let host = ActorHost::Actix(system);
    Ok((mailbox, ActorThread { host, handle }))
}

#[cfg(feature = "simulation")]
fn spawn_simulated<A: Actor>(
    scheduler: &dyn Scheduler,
    name: &str,
    build: impl FnOnce(Mailbox<A::Message>) -> A + Send + 'static,
) -> io::Result<(Mailbox<A::Message>, ActorThread)> {
    let queue = Queue::new();
    let mailbox = Mailbox {
        way: Way::Simulated(queue.clone()),
        waiting: Arc::default(),
    };
    let (own, messages) = (mailbox.clone(), queue.clone());
    let handle = simulated::spawn(scheduler, name, move || {
        let waiting = own.waiting.clone();
        host_simulated(build(own), &messages, &waiting);
    })?;
    let host = ActorHost::Simulated(Box::new(move || queue.close()));
    Ok((mailbox, ActorThread { host, handle }))
}

/// Does what [`Host`] does, until the queue is closed.
#[cfg(feature = "simulation")]
fn host_simulated<A: Actor>(
    mut actor: A,
    messages: &Queue<Envelope<A::Message>>,
    waiting: &AtomicUsize,
) {
    while let Some(scheduler) = simulated::current() {
        match messages.next(&*scheduler, actor.deadline()) {
            Next::Closed => return,
            Next::Deadline => {
                actor.idle();
                continue;
            }
            Next::Message(Envelope::Abort) => actor.abort(),
            Next::Message(Envelope::Message(message)) => {
                waiting.fetch_sub(1, Ordering::AcqRel);
                actor.handle(message);
            }
        }
        if waiting.load(Ordering::Acquire) == 0 {
            actor.idle();
        }
    }
}

fn start<A: Actor>(build: impl FnOnce(Mailbox<A::Message>) -> A) -> Mailbox<A::Message> {
    let waiting = Arc::new(AtomicUsize::new(0));
    let mut mailbox = None;
    actix::Actor::create(|context: &mut Context<Host<A>>| {
        let own = Mailbox {
            way: Way::Actix(context.address().recipient()),
            waiting: waiting.clone(),
        };
        mailbox = Some(own.clone());
        Host {
            actor: build(own),
            waiting,
            timer: None,
        }
    });
    mailbox.unwrap_or_else(|| unreachable!("actix creates the actor before it returns"))
}

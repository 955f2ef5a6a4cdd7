/* One acquisition, from its first question to its end, and what may happen to it meanwhile; on top of
 * scripts.pml. src/lock.cpp (Lock::take, Attempt), src/hold.cpp and src/locking/agent.cpp do it.
 *
 * A model says how often what may happen: CRASHES, CUTS (of event connections), LOSSES (of requests
 * and answers), LATE (requests that are carried out after their sender has given up on the
 * connection they went over), EXPIRIES (of leases whose holder lives: it, or the network, stood
 * still for so long), GIVE_UPS, RENEWALS (for each hold). The lease of a holder that is dead, or has
 * left, ends without being counted.
 *
 * A client has one acquisition here. Several of one client share its death and its event connection,
 * which is less than what they meet here, each for itself. An acquisition begins at any moment, so a
 * client's second is one of the others. All clients run on one host, where each sees the others die.
 *
 * SERVED is checked with the compiler's -DLIVENESS and weak fairness: each client, and the clock, goes
 * on; the faults may stop at any time. Without it a fault that does not happen is a state of its own
 * less, so that run looks for EXCLUSION, FENCES, ORDER, HANDED_ON, HEARD, TRUTH and deadlocks.
 */
#include "scripts.pml"

mtype = {to_acquire, to_release, to_renew};
mtype request[TOKENS] = nothing; /* on its way to the server */
mtype late_request = nothing;    /* as well, over a connection that its client knows is broken */
byte late_token;
bool dead[TOKENS + 1]; /* the last: NOBODY, who never is */
bool over[TOKENS];     /* its client has nothing to do with it any more */
byte ended;            /* how many are dead or over */
byte crashes = CRASHES, cuts = CUTS, losses = LOSSES, lates = LATE, expiries = EXPIRIES, give_ups = GIVE_UPS;
hidden mtype nobody_reads, unread;
hidden byte unread_fence, unread_owner;

inline put_away(whose) {
  answer[whose] = nothing;
  told_fence[whose] = 0;
  told_owner[whose] = 0
}

/* What its end makes indifferent, so that states that differ in it only are one. */
inline forget(whose) {
  valid[whose] = false;
  granted[whose] = false;
  newer[whose] = false;
  fresh[whose] = false;
  put_away(whose);
  fence_of[whose] = 0;
  freed_by_script[whose] = false
}

/* Sends, and waits until it is carried out or lost. Where nothing is lost, when it was sent is all
 * the same: the server does nothing for a request that it has not got. */
#if LOSSES + LATE > 0
#define ASK(what, script)                                                       \
  atomic { answer[me] = nothing; request[me] = what };                          \
  if                                                                            \
  :: d_step { request[me] == what -> script; request[me] = nothing }            \
  :: answer[me] == no_answer                                                    \
  fi
#else
#define ASK(what, script) atomic { script }
#endif

proctype Acquisition(byte me) {
  byte watched = NOBODY;
  byte renewals = RENEWALS;
  {
    skip;
  asking:
    ASK(to_acquire, acquire(me));
    atomic {
      if
      :: answer[me] == held -> believe(me, told_fence[me]); put_away(me); goto holding
      :: answer[me] == held_too_late -> goto asking /* "The answer took so long ...": it is a renewal */
      :: answer[me] == queued -> watched = told_owner[me]; put_away(me); fresh[me] = true; goto waiting
      :: answer[me] == queued_too_late -> watched = told_owner[me]; put_away(me); fresh[me] = false; goto waiting
      :: answer[me] == no_answer -> goto asking  /* sent again */
      :: answer[me] == no_answer -> goto leaving /* thrown as InDoubt, and given back */
      fi
    };
  waiting:
    atomic {
      if
      :: granted[me] -> granted[me] = false;
         if
         :: newer[me] && fresh[me] ->
            fresh[me] = false;
            believe(me, fence); /* what the message says: nobody can have taken one since */
            goto holding
         :: goto asking
         fi
#ifndef BREAK_WAITERS_LOOK
      :: goto asking /* Waiter::ask_at: the lease may be over, or those before it gone */
#endif
#ifndef BREAK_ASKS_AGAIN_WHEN_HEARING
      :: !ears[me] -> ears[me] = true; goto asking /* LockAgent::on_subscribed */
#endif
      :: give_ups > 0 -> give_ups--; goto leaving
#ifdef BREAK_TAKE_OVER_NEEDS_PROOF
      :: watched != NOBODY && !ears[watched] -> /* "its connection is lost, so it will be dead" */
#else
      :: dead[watched] -> /* the pidfd says so */
#endif
#ifdef BREAK_TAKE_OVER_COMPARES
         if
         :: lock != NOBODY -> watched = lock
         :: else
         fi;
#endif
         release(watched, 0, nobody_reads);
         watched = NOBODY;
         goto waiting
      fi
    };
  holding:
    if
    :: renewals > 0 ->
       renewals--;
       ASK(to_renew, renew(me));
       atomic {
         if
#ifdef BREAK_WHAT_ENDED_STAYS_ENDED
         :: answer[me] == renewed -> believe(me, fence_of[me])
#else
         :: answer[me] == renewed && valid[me] -> believe(me, fence_of[me])
         /* What ended by its own clock is not revived, although the server says that the token holds
          * (again: because of an acquire that was late). LockAgent::take_renewal must see to that
          * also where the thread that ends holds in time was late itself. */
         :: answer[me] == renewed && !valid[me]
#endif
         :: answer[me] == lost_it -> valid[me] = false /* Lease::lose */
         :: answer[me] == renewed_too_late
         :: answer[me] == no_answer
         fi;
         put_away(me)
       };
       goto holding
    :: true
    fi;
#ifndef BREAK_RELEASE_ENDS_BELIEF_FIRST
    valid[me] = false; /* Hold::release: over, before it asks */
#endif
  releasing:
    ASK(to_release, release(me, fence_of[me], answer[me]));
    atomic {
      valid[me] = false;
      /* "Released" is said of a hold that ended by its release only, and of the last such one always. */
      assert(answer[me] != freed || freed_by_script[me]); /* TRUTH */
      assert(answer[me] == freed || answer[me] == no_answer || !freed_by_script[me] || fence != fence_of[me]); /* TRUTH */
      if
      :: answer[me] == no_answer -> goto releasing
      :: else -> goto done
      fi
    };
  leaving: /* Attempt::leave, LockAgent::give_back_later: with fence 0, which fence_of still is */
    ASK(to_release, release(me, fence_of[me], answer[me]));
    if
    :: answer[me] == no_answer -> goto leaving
    :: else
    fi;
  done:
    atomic { over[me] = true; ended++; forget(me) }
  } unless {
    dead[me]
  }
}

#define SEES_SOCKET_CLOSE(c) d_step { dead[c] && ears[c] -> ears[c] = false }

/* What time does, sooner or later. */
proctype Clock() {
end:
  do
  :: d_step { lock != NOBODY && (dead[lock] || over[lock]) -> expire() }
  :: d_step { lock != NOBODY && !dead[lock] && !over[lock] && expiries > 0 -> expiries--; expire() }
  :: SEES_SOCKET_CLOSE(0)
  :: SEES_SOCKET_CLOSE(1)
#if TOKENS > 2
  :: SEES_SOCKET_CLOSE(2)
#endif
#if TOKENS > 3
  :: SEES_SOCKET_CLOSE(3)
#endif
  od
}

/* What may happen to the client `c`. */
inline faults_of(c) {
  if
  :: d_step { crashes > 0 && !dead[c] && !over[c] ->
       crashes--;
       dead[c] = true;
       ended++;
       forget(c)
     }
#if LOSSES + LATE > 0
     if
     :: d_step { request[c] != nothing && late_request == nothing -> /* it stands in the server's socket */
          late_request = request[c]; late_token = c; request[c] = nothing }
     :: request[c] = nothing
     fi
#endif
  :: d_step { cuts > 0 && ears[c] && !dead[c] && !over[c] -> cuts--; ears[c] = false; granted[c] = false }
  :: d_step { losses > 0 && request[c] != nothing && !dead[c] ->
       losses--; request[c] = nothing; answer[c] = no_answer }
  :: d_step { losses > 0 && request[c] == nothing && answer[c] != nothing && answer[c] != no_answer && !dead[c] && !over[c] ->
       losses--; answer[c] = no_answer }
  :: d_step { lates > 0 && late_request == nothing && request[c] != nothing && !dead[c] ->
       lates--; late_request = request[c]; late_token = c; request[c] = nothing; answer[c] = no_answer }
  fi
}

proctype Faults() {
end:
  do
  :: faults_of(0)
  :: faults_of(1)
#if TOKENS > 2
  :: faults_of(2)
#endif
#if TOKENS > 3
  :: faults_of(3)
#endif
#if LATE > 0
  :: d_step { late_request != nothing ->
       unread = answer[late_token]; unread_fence = told_fence[late_token]; unread_owner = told_owner[late_token];
       if
       :: late_request == to_acquire -> acquire(late_token)
       :: late_request == to_release -> release(late_token, fence_of[late_token], answer[late_token])
       :: else -> renew(late_token)
       fi;
       answer[late_token] = unread; told_fence[late_token] = unread_fence; told_owner[late_token] = unread_owner;
       late_request = nothing
     }
#endif
#ifdef LIVENESS
  :: break /* they need not happen; to know that is to have twice as many states */
#endif
  od
}

init {
  atomic {
    for (i : 0 .. TOKENS - 1) {
      run Acquisition(i)
    }
    run Clock();
    run Faults()
  }
}

/* SERVED: whoever neither dies nor gives up holds in the end, and is done. */
ltl served { <> (ended == TOKENS) }

/* The scripts of src/lua/lock/, each one atomic, as the server runs them: what the models share.
 *
 * A model says, before it includes this: TOKENS, how many acquisitions there are. A token belongs
 * to one acquisition (acquire.lua, ARGV[1]); so it is here the acquisition's name.
 *
 * Left out, and why nothing is lost by it:
 *  - Time. A lease has no length; it may end whenever the model lets time pass (`expire`), so every
 *    order of events that any lengths and delays allow is looked at. What time does guarantee is
 *    kept: a hold's validity is counted from before the request was sent, the server's lease from
 *    when the script ran, which is later; so what a client believes because of a lease of its own
 *    ends before that lease does. `expire` ends the belief first, and makes of an answer that is
 *    still on its way one whose validity is over when it is read.
 *  - `lead` messages, client-side caching: they decide when a waiter asks again, and here each may
 *    do so at any moment.
 *    So a grant's lease ends after every belief that is counted from a question before the grant (`fresh`).
 *  - Strangers and yield_to_foreign: a stranger's DEL is to us as an expiry.
 *  - The fence's microseconds: it is a number that grows by one.
 *
 * BREAK_... takes away one thing that a script or a client does: mutations.txt.
 */
#define NOBODY TOKENS

byte lock = NOBODY;                /* KEYS[1]: the token that holds */
chan waiters = [TOKENS] of {byte}; /* KEYS[2]: no token twice */
byte fence, released, lost;        /* KEYS[3] */

bool ears[TOKENS] = true;    /* the server has a subscriber of its channel: whom PUBLISH counts */
bool granted[TOKENS]; /* the message "grant" is on its way to it */
bool newer[TOKENS];   /* its fence is greater than the one in the last answer "queued": given after that */
bool fresh[TOKENS];   /* no grant can have ended that was given since it asked: grant_time has not passed */

mtype = {nothing, no_answer,              /* none yet; the connection broke before it came */
         held, held_too_late,             /* acquire: {1, fence}; the same, over when it is read; */
         queued, queued_too_late,         /* {0, ...}; the same, older than a grant lasts when it is read */
         renewed, renewed_too_late, lost_it, /* renew: 1; the same, over when it is read; 0 */
         gone, freed, anothers};          /* release: 0, 1, 2 */
mtype answer[TOKENS] = nothing; /* on its way to the one that asked */
byte told_fence[TOKENS];
byte told_owner[TOKENS];

/* What is watched, and is no part of the lock. */
bool valid[TOKENS];           /* its client trusts its hold, by its own clock */
byte fence_of[TOKENS];        /* of its hold, as it was told; 0: it has none */
byte highest, last = NOBODY;  /* the highest fence of a hold so far, and whose it was */
bool freed_by_script[TOKENS]; /* a release found its token in the key */

hidden byte first, given, i;

/* EXCLUSION: no two holds are valid at once. FENCES: they rise from hold to hold. */
inline believe(me, its_fence) {
  i = 0;
  do
  :: i < TOKENS ->
    assert(i == me || !valid[i]); /* EXCLUSION */
    i++
  :: else -> break
  od;
  assert(its_fence > highest || (its_fence == highest && last == me)); /* FENCES */
  highest = its_fence;
  last = me;
  fence_of[me] = its_fence;
  valid[me] = true
}

/* The lease of whoever holds ends on the server. */
inline expire() {
#ifndef BREAK_HOLD_ENDS_BY_ITS_CLOCK
  valid[lock] = false; /* Lease::trusted */
#endif
#ifndef BREAK_VALID_FROM_SENDING /* Lease::extend_from: counted from the answer, it is whole whenever that comes */
  if
  :: answer[lock] == held -> answer[lock] = held_too_late
  :: answer[lock] == renewed -> answer[lock] = renewed_too_late
  :: answer[lock] == queued -> answer[lock] = queued_too_late
  :: else
  fi;
#endif
#ifndef BREAK_GRANT_IS_NO_PROOF /* Acquisition::Place::grasp: counted from when it asked */
  fresh[lock] = false;
#endif
  lock = NOBODY
}

/* ---- hand_over.lua ---- */

inline take_fence() {
#ifndef BREAK_LOST_IS_REMEMBERED
  if
  :: fence != released -> lost = fence
  :: else
  fi;
#endif
#ifndef BREAK_FENCE_GROWS
  fence++
#endif
}

/* was_released */
#define WAS_RELEASED(its) (its > 0 && (released == its || (fence > its && lost < its)))

inline leave_queue(token) { /* ZREM */
  if
  :: waiters ?? [eval(token)] -> waiters ?? eval(token)
  :: else
  fi
}

inline name_leader() { /* whoever is first and has no ears is struck off */
  do
  :: len(waiters) == 0 -> break
  :: else ->
    waiters ? <first>;
    if
    :: ears[first] -> break
    :: else -> waiters ? first
    fi
  od
}

inline hand_over() { /* given: the token, or NOBODY */
  given = NOBODY;
  do
  :: len(waiters) == 0 -> break
  :: else ->
    waiters ? first;
    if
#ifdef BREAK_DEAD_ARE_PASSED_OVER
    :: true ->
#else
    :: ears[first] ->
#endif
      granted[first] = ears[first];
      newer[first] = true;
      assert(granted[first]); /* HEARD: nobody is granted the lock who cannot hear of it */
#ifndef BREAK_HAND_OVER_SETS
      lock = first;
      given = first;
      take_fence();
#endif
      name_leader();
      break
#ifndef BREAK_DEAD_ARE_PASSED_OVER
    :: else
#endif
    fi
  od
}

/* ---- acquire.lua, with join = 1 ---- */

inline acquire_take(token) {
  assert(len(waiters) == 0 || waiters ? [eval(token)]); /* ORDER: nobody takes it before who came first */
  lock = token;
  leave_queue(token);
  name_leader();
  take_fence()
}

inline acquire(token) {
  if
  :: lock == NOBODY ->
    given = NOBODY;
    first = NOBODY;
    if
    :: len(waiters) > 0 -> waiters ? <first>
    :: else
    fi;
#ifndef BREAK_NOBODY_BARGES
    if
    :: first != NOBODY && first != token -> hand_over()
    :: else
    fi;
#endif
    if
    :: lock == NOBODY -> acquire_take(token)
    :: else
    fi
  :: else
  fi;
  if
#ifndef BREAK_RECOGNISES_ITSELF
  :: lock == token -> /* PEXPIRE */
#else
  :: lock == token && given != NOBODY ->
#endif
    answer[token] = held;
    told_fence[token] = fence
  :: else ->
    if
    :: waiters ?? [eval(token)] -> name_leader()
    :: else -> waiters ! token
    fi;
    answer[token] = queued;
#ifndef BREAK_GRANT_IS_OF_THIS_STAY
    newer[token] = false;
#endif
    told_owner[token] = lock
  fi;
  given = NOBODY;
  first = NOBODY
}

/* ---- release.lua ---- */

/* `whose`: the token; `its`: its fence, 0 from a waiter and from one that saw the holder die. */
inline release(whose, its, said) {
  if
#ifdef BREAK_RELEASE_COMPARES
  :: lock != NOBODY ->
#else
  :: lock == whose ->
#endif
    freed_by_script[whose] = true;
    lock = NOBODY;
#ifndef BREAK_RELEASE_IS_REMEMBERED
    released = (its > 0 -> its : fence);
#endif
#ifdef BREAK_LEAVE_HANDS_ON
    if
    :: its > 0 -> hand_over()
    :: else
    fi;
#else
    hand_over();
#endif
    assert(lock != NOBODY || len(waiters) == 0); /* HANDED_ON: no release leaves waiters with a free key */
    said = freed
  :: else ->
    leave_queue(whose);
    name_leader();
    if
    :: WAS_RELEASED(its) -> said = freed
    :: else -> said = (lock == NOBODY -> gone : anothers)
    fi
  fi;
  given = NOBODY;
  first = NOBODY
}

/* ---- renew.lua ---- */

inline renew(token) {
  if
#ifdef BREAK_RENEW_COMPARES
  :: lock != NOBODY ->
#else
  :: lock == token ->
#endif
    answer[token] = renewed
  :: else -> answer[token] = lost_it
  fi
}

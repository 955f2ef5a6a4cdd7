/* Locks that several hold (src/lua/permits/): readers and writers (readers.pml), permits of a semaphore
 * (semaphore.pml). Each client has SECTIONS sections of code to get through, by a token for each. A token
 * below SHARERS shares. A question and its script are one step: what lost answers do is the same as of a
 * lock with one holder (replies.pml), where tokens are recognised in the same way.
 *
 * Leases end, once their holder no longer believes in them; a holder dies, and only the end of its lease
 * lets others in; event connections break, and a waiter without ears is struck off the queue; a waiter
 * gives up.
 */
#define NOBODY 255

byte queue[CLIENTS], queued;       /* on the server */
bool holds[CLIENTS];               /* a lease of theirs runs there */
bool recent[CLIENTS];              /* waits for less than `writers_ahead` */
byte fence, fence_of[CLIENTS];
bool ears[CLIENTS], told[CLIENTS]; /* a message is on its way */
bool valid[CLIENTS];               /* the client believes that it holds */
byte highest;                      /* fence of anybody who believed */
byte done;
byte expiries = EXPIRIES, cuts = CUTS, give_ups = GIVE_UPS, crashes = CRASHES;
byte dead = NOBODY;

#define SHARES(who) (who < SHARERS)

/* Of one step; what they hold after it means nothing. */
hidden byte i, n, at, head, room, alone, new_leader, is_first;

/* room: whether there is any for `who` among those who hold */
inline fits(who) {
  n = 0;
  alone = false;
  for (i : 0 .. CLIENTS - 1) {
    if
    :: holds[i] -> n++; alone = alone || !SHARES(i)
    :: else
    fi
  }
#ifdef BREAK_FITS_COMPARES
  room = n < LIMIT;
#else
  room = n == 0 || (SHARES(who) && !alone && n < LIMIT);
#endif
  i = 0
}

inline take(who) {
  holds[who] = true;
#ifndef BREAK_FENCE_GROWS
  fence++;
#endif
  fence_of[who] = fence
}

inline strike(who) {
  at = 0;
  for (i : 0 .. CLIENTS - 1) {
    if
    :: i < queued && queue[i] != who -> queue[at] = queue[i]; at++
    :: else
    fi
  }
  for (i : 0 .. CLIENTS - 1) {
    if
    :: i >= at -> queue[i] = NOBODY
    :: else
    fi
  }
  queued = at
}

inline hand_out(leader_is_new) {
  new_leader = leader_is_new;
  do
  :: queued == 0 -> break
  :: else ->
     head = queue[0];
     fits(head);
     if
     :: !room && !new_leader -> break
     :: else ->
        if
        :: ears[head] && !room -> told[head] = true; break
        :: ears[head] && room -> told[head] = true; strike(head); take(head)
        :: !ears[head] -> strike(head)
        fi;
#ifdef BREAK_READERS_GO_TOGETHER
        break;
#endif
        new_leader = true
     fi
  od
}

inline is_queued(who) {
  room = false;
  for (i : 0 .. CLIENTS - 1) {
    if
    :: i < queued && queue[i] == who -> room = true
    :: else
    fi
  }
  i = 0
}

/* A writer stands before those readers at the end that have come just now. */
inline enqueue(who) {
  at = queued;
  do
  :: !SHARES(who) && at > 0 && SHARES(queue[at - 1]) && recent[queue[at - 1]] -> at--
  :: else -> break
  od;
  i = queued;
  do
  :: i > at -> queue[i] = queue[i - 1]; i--
  :: else -> break
  od;
  queue[at] = who;
  queued++;
  recent[who] = true
}

/* permits/acquire: afterwards holds[who], or it is in the queue if it can hear */
inline acquire(who) {
  if
  :: holds[who]
  :: else ->
#ifndef BREAK_NOBODY_BARGES
     if
     :: queued > 0 && queue[0] != who -> hand_out(false)
     :: else
     fi;
#endif
     fits(who);
#ifdef BREAK_NOBODY_BARGES
     is_first = true;
#else
     is_first = queued == 0 || queue[0] == who;
#endif
     if
     :: room && is_first ->
        assert(queued == 0 || queue[0] == who); /* ORDER */
        take(who);
        if
        :: queued > 0 -> strike(who); hand_out(true)
        :: else
        fi
     :: else ->
        is_queued(who);
        if
        :: !room && ears[who] -> enqueue(who)
        :: else
        fi
     fi
  fi
}

/* permits/release */
inline release(who) {
  is_first = queued > 0 && queue[0] == who;
#ifdef BREAK_LEAVE_HANDS_OUT
  if
  :: holds[who] -> holds[who] = false; hand_out(false)
  :: else -> strike(who)
  fi;
#else
  holds[who] = false;
  strike(who);
  hand_out(is_first);
#endif
  fence_of[who] = 0;
  if
  :: queued > 0 ->
     fits(queue[0]);
     assert(!room) /* HANDED_ON */
  :: else
  fi
}

inline believe(who) {
  valid[who] = true;
  n = 0;
  alone = false;
  for (i : 0 .. CLIENTS - 1) {
    if
    :: valid[i] -> n++; alone = alone || !SHARES(i)
    :: else
    fi
  }
  assert(n == 1 || !alone);  /* EXCLUSION */
  assert(n <= LIMIT);        /* WITHIN_THE_LIMIT */
  if
  :: !SHARES(who) ->
     assert(fence_of[who] > highest) /* FENCES: of who was alone they are greater than all before */
  :: else
  fi;
  if
  :: fence_of[who] > highest -> highest = fence_of[who]
  :: else
  fi
}

proctype Client(byte me) {
  byte left = SECTIONS;
asking:
  atomic {
    acquire(me);
    told[me] = false;
    if
    :: holds[me] -> believe(me); goto section /* an answer that comes late is not believed: handoff.pml */
    :: else -> goto waiting
    fi
  };
waiting:
  atomic {
    if
    :: told[me]
    :: !ears[me] -> ears[me] = true
#ifndef BREAK_WAITERS_LOOK
    :: true
#endif
    :: give_ups > 0 -> give_ups--; goto releasing
    fi;
    goto asking
  };
section:
  atomic { /* while it believes its lease runs on */
    valid[me] = false;
    if
    :: true
    :: crashes > 0 && left == 1 -> crashes--; ears[me] = false; dead = me; done++; goto died
    fi
  };
releasing:
  atomic {
    release(me);
    told[me] = false;
    left--;
    done++;
    if
    :: left > 0 -> goto asking
    :: else
    fi
  };
died:
  skip
}

proctype Clock() {
end:
  atomic { dead != NOBODY -> holds[dead] = false; fence_of[dead] = 0 }
}

proctype World() {
  byte who;
end:
  do
  :: d_step { recent[0] -> recent[0] = false } /* time passes */
#if SHARERS > 1
  :: d_step { recent[1] -> recent[1] = false }
#endif
  :: atomic {
       expiries > 0 -> select(who : 0 .. CLIENTS - 1);
#ifdef BREAK_HOLD_ENDS_BY_ITS_CLOCK
       if
       :: holds[who] -> holds[who] = false; fence_of[who] = 0; expiries--
       :: else
       fi
#else
       if
       :: holds[who] && !valid[who] -> holds[who] = false; fence_of[who] = 0; expiries--
       :: else
       fi
#endif
     }
  :: d_step { cuts > 0 && ears[0] -> cuts--; ears[0] = false; told[0] = false }
  :: d_step { cuts > 0 && ears[CLIENTS - 1] -> cuts--; ears[CLIENTS - 1] = false; told[CLIENTS - 1] = false }
#ifdef LIVENESS
  :: break
#endif
  od
}

init {
  atomic {
    for (i : 0 .. CLIENTS - 1) {
      ears[i] = true;
      queue[i] = NOBODY;
      run Client(i)
    }
    i = 0;
    run World();
    run Clock()
  }
}

ltl served { <> (done == CLIENTS * SECTIONS) }

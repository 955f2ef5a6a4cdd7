// lock_soak [--minutes N | --seconds N] [--seed N]
//
// Many processes contend for a few locks while they are killed, stopped, cut off and forgotten by
// their server; what they held, and when, is checked all the while. The exit status is 1 when a
// promise was broken. What the seed decides is which faults come in which order; when exactly they
// meet a process is the machine's affair, so a seed makes a failure likely again, not certain.
//
// What is assumed:
//  - A server that is killed keeps what it acknowledged: it writes its append-only file before it
//    answers, and the kernel outlives it.
//  - One that comes back without its data has forgotten the locks: a hold of before may then meet
//    one of after. Which is which their fences tell, which follow the clock of the machine: holds of
//    before count until the moment of the loss, and fences must go on to rise.
//  - All processes read one steady clock.
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <sys/prctl.h>
#include <unistd.h>

#include "soak/book.hpp"
#include "soak/plan.hpp"
#include "soak/tormentor.hpp"
#include "soak/worker.hpp"
#include "support/shared_memory.hpp"

namespace {

using namespace tandem;

/// worker PLACE DESCRIPTOR URL SEED
int be_worker(std::vector<std::string> const& words) {
  unsigned place = 0;
  unsigned descriptor = 0;
  unsigned seed = 0;
  if (words.size() != 5 || !soak::read(words[1], place) || !soak::read(words[2], descriptor) ||
      !soak::read(words[4], seed))
    return soak::usage("lock_soak");
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  support::Shared<soak::Book> const book{support::Descriptor{static_cast<int>(descriptor)}};
  soak::work(*book, static_cast<int>(place), words[3], seed);
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  std::vector<std::string> const words{argv + 1, argv + argc};
  if (!words.empty() && words[0] == "worker") return be_worker(words);
  auto const plan = soak::plan_of(words);
  if (!plan) return soak::usage("lock_soak");
  return soak::torment_locks(*plan) == 0 ? 0 : 1;
} catch (std::exception const& error) {
  std::fprintf(stderr, "lock_soak: %s\n", error.what());
  return 1;
}

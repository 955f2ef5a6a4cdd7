// queue_soak [--minutes N | --seconds N] [--seed N]
//
// Producers and workers share a queue while they are killed, stopped, cut off and forgotten by their
// server, which keeps what it acknowledged; what became of each job is written down by whom it
// happened to, and looked at when everything is done. The exit status is 1 when a promise was
// broken:
//
//  - A job whose push returned was given to a worker, or is a dead letter; one whose push was refused
//    was not.
//  - A job whose acknowledgement returned true was not given out again: no later delivery of it was
//    seen.
//  - The dead letters are those that were rejected and those that were delivered too often, each
//    once, and none that was acknowledged.
//  - When the faults are over everything is done in time.
#include <charconv>
#include <csignal>
#include <cstdio>
#include <exception>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <sys/prctl.h>

#include "soak/ledger.hpp"
#include "soak/queue_hands.hpp"
#include "soak/queue_tormentor.hpp"
#include "soak/troop.hpp"
#include "support/shared_memory.hpp"

namespace {

using namespace tandem;

int usage() {
  std::fputs("usage: queue_soak [--minutes N | --seconds N] [--seed N]\n", stderr);
  return 2;
}

bool read(std::string_view text, unsigned& number) {
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

/// produce|consume PLACE URL SEED
int be_one_of_them(std::vector<std::string> const& words) {
  unsigned place = 0;
  unsigned seed = 0;
  if (words.size() != 4 || !read(words[1], place) || !read(words[3], seed)) return usage();
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  support::Shared<soak::Ledger> const ledger{support::Descriptor{soak::Troop::inherited}};
  if (words[0] == "produce") {
    soak::produce(*ledger, static_cast<int>(place), words[2], seed);
  } else {
    soak::consume(*ledger, words[2], seed);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  std::vector<std::string> const words{argv + 1, argv + argc};
  if (!words.empty() && !words[0].starts_with("--")) return be_one_of_them(words);
  soak::QueuePlan plan;
  plan.seed = std::random_device{}();
  for (std::size_t i = 0; i < words.size(); i += 2) {
    unsigned number = 0;
    if (i + 1 == words.size() || !read(words[i + 1], number)) return usage();
    if (words[i] == "--minutes") {
      plan.length = std::chrono::minutes{number};
    } else if (words[i] == "--seconds") {
      plan.length = std::chrono::seconds{number};
    } else if (words[i] == "--seed") {
      plan.seed = number;
    } else {
      return usage();
    }
  }
  return soak::torment(plan) == 0 ? 0 : 1;
} catch (std::exception const& error) {
  std::fprintf(stderr, "queue_soak: %s\n", error.what());
  return 1;
}

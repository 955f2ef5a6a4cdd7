// Prints what an account says of two orders: the function that books them locks it, and so does the
// one that it calls for each:
//
//     booked 30
//     booked 12
//     42 in all, one hold of the server's: yes
//     still held by the caller, then given back
#include <cstdint>
#include <cstdio>
#include <string>

#include <tandem/recursive_lock.hpp>
#include <tandem/shared_map.hpp>

namespace {

class Account {
 public:
  explicit Account(tandem::Client const& redis)
      : lock_{redis, "example:account"}, totals_{redis, "example:totals"} {
    totals_.clear();
  }

  std::uint64_t book(std::int64_t amount) {
    tandem::Hold const hold = lock_.acquire();
    totals_.set("all", total() + amount, hold);  // applied only while it is held
    std::printf("booked %lld\n", static_cast<long long>(amount));
    return hold.fence();
  }

  /// Both, and nobody's between them.
  void book_two(std::int64_t one, std::int64_t other) {
    tandem::Hold hold = lock_.acquire();
    bool const same = book(one) == hold.fence() && book(other) == hold.fence();
    std::printf("%lld in all, one hold of the server's: %s\n", static_cast<long long>(total()),
                same ? "yes" : "no");
    std::printf("%s by the caller, ", hold.held() ? "still held" : "lost");
    if (hold.release() == tandem::Release::released) std::puts("then given back");
  }

 private:
  [[nodiscard]] std::int64_t total() { return totals_.get("all").value_or(0); }

  tandem::RecursiveLock lock_;
  tandem::SharedMap<std::string, std::int64_t> totals_;
};

}  // namespace

int main(int argc, char** argv) try {
  Account{tandem::Client{argc > 1 ? argv[1] : "redis://localhost"}}.book_two(30, 12);
  return 0;
} catch (tandem::Error const& fault) {
  std::fprintf(stderr, "%s\n", fault.what());
  return 1;
}

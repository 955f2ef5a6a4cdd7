// Prints what readers and a writer see of each other, by the holds of SharedLock and with the face of
// std::shared_mutex:
//
//     2 readers; a writer is refused
//     a writer became a reader: readers are let in, another writer is refused
//     read 100 times, written 20 times
#include <atomic>
#include <cstdio>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <utility>

#include <tandem/shared_lock.hpp>
#include <tandem/shared_mutex.hpp>

int main(int argc, char** argv) try {
  tandem::Client redis{argc > 1 ? argv[1] : "redis://localhost"};
  tandem::SharedLock catalog{redis, "example:catalog"};
  // Another process would do as well; a thread that reads is refused to write at once.
  tandem::Client elsewhere{redis.options()};
  tandem::SharedLock theirs{elsewhere, "example:catalog"};

  {
    tandem::Hold const one = catalog.acquire_shared();
    tandem::Hold const other = catalog.acquire_shared();
    std::printf("%zu readers; a writer is %s\n", catalog.holders().size(),
                theirs.try_acquire() ? "let in" : "refused");
  }

  tandem::Hold writing = catalog.acquire();
  tandem::Hold reading = catalog.downgrade(std::move(writing));
  std::printf("a writer became a reader: readers are %s, ",
              theirs.try_acquire_shared() ? "let in" : "refused");
  std::printf("another writer is %s\n", theirs.try_acquire() ? "let in" : "refused");
  reading.release();

  tandem::SharedMutex mutex{redis, "example:catalog"};
  std::atomic<int> reads = 0;
  int writes = 0;
  {
    auto const work = [&] {
      for (int i = 0; i < 60; ++i) {
        if (i % 6 == 0) {
          std::unique_lock const alone{mutex};
          ++writes;
        } else {
          std::shared_lock const together{mutex};
          ++reads;
        }
      }
    };
    std::jthread const one{work};
    std::jthread const other{work};
  }
  std::printf("read %d times, written %d times\n", reads.load(), writes);
  return 0;
} catch (tandem::Error const& fault) {
  std::fprintf(stderr, "%s\n", fault.what());
  return 1;
}

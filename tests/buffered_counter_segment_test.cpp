// BufferedCounterOptions::survive_crash: the file in which the adds are kept, what it costs, and
// what is refused.
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tandem/buffered_counter.hpp>

#include "support/contained.hpp"
#include "support/crash_scene.hpp"
#include "support/forked.hpp"
#include "support/observed.hpp"
#include "support/open_descriptors.hpp"
#include "support/patience.hpp"
#include "support/sanitized.hpp"
#include "support/shared_memory.hpp"
#include "support/sockets.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;
using support::commands_of;
using support::Contained;
using support::eventually;
using support::Forked;
using support::text_of;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::size_t most = 512;

class BufferedCounterSegmentTest : public support::CrashScene {
 protected:
  [[nodiscard]] std::string refusal() {
    return text_of<Error>([&] { (void)survivor(); });
  }
};

TEST_F(BufferedCounterSegmentTest, FileIsOfItsUserOnlyAndGoesWithTheLastOneWhoseAddsAreShared) {
  std::optional<BufferedCounter> hits{survivor()};
  auto const files = own_files();
  ASSERT_THAT(files, SizeIs(1));
  auto const path = *files.begin();
  struct ::stat seen {};
  ASSERT_EQ(::stat(path.c_str(), &seen), 0);
  EXPECT_EQ(seen.st_mode & 07777, 0600U);
  EXPECT_EQ(seen.st_uid, ::geteuid());
  std::optional<BufferedCounter> same{survivor()};
  EXPECT_EQ(own_files(), files);
  hits->add(3);
  hits.reset();
  EXPECT_EQ(number(), 3);
  EXPECT_TRUE(std::filesystem::exists(path));
  same.reset();
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_THAT(own_files(), IsEmpty());
}

TEST_F(BufferedCounterSegmentTest, WhatAClientCannotDeliverAtItsEndIsLeftToOthers) {
  auto const path = path_of_hits();
  {
    auto options = Options::from_url(server_.url() + "?connect_timeout=50ms");
    options.on_error = reports_.hook();
    BufferedCounter hits{Client{options}, "hits", by_hand};
    server_.kill();
    hits.add(5);
  }
  EXPECT_THAT(reports_.texts(), SizeIs(1));
  EXPECT_TRUE(reports_.have("hits: 5 is left for another process of this user to add: "));
  EXPECT_TRUE(std::filesystem::exists(path));
  server_.restart();
  {
    auto const hits = survivor();
    EXPECT_TRUE(becomes(5));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(BufferedCounterSegmentTest, CostsNoCommandMoreThanItDoesWithout) {
  auto hits = survivor();
  hits.add();
  hits.flush();
  EXPECT_EQ(commands_of(redis_,
                        [&] {
                          for (int i = 0; i < 1000; ++i) hits.add();
                          hits.flush();
                          hits.flush();
                        }),
            "evalsha 1, get 1, incrby 1, set 1");
}

TEST_F(BufferedCounterSegmentTest, KeepsNoDescriptor) {
  auto hits = survivor();
  hits.add();
  hits.flush();
  for (auto const& each : std::filesystem::directory_iterator{"/proc/self/fd"}) {
    std::error_code gone;  // the iterator's own
    EXPECT_THAT(std::filesystem::read_symlink(each, gone).string(),
                ::testing::Not(HasSubstr("/dev/shm/")));
  }
}

TEST_F(BufferedCounterSegmentTest, AllSixtyFourBitsAreExactThere) {
  auto hits = survivor();
  hits.add(INT64_MAX);
  EXPECT_THROW(hits.add(), std::overflow_error);
  hits.flush();
  hits.add(INT64_MIN);
  hits.flush();
  EXPECT_EQ(number(), -1);
  kill(*worker(server_.url(), [](BufferedCounter& its) {
    its.add(INT64_MIN);
    its.add(INT64_MAX);
    its.add(-5);
    its.add(INT64_MIN + 7);
  }));
  EXPECT_TRUE(becomes(INT64_MIN));
}

TEST_F(BufferedCounterSegmentTest, ThreadsThatGoOnInOneCellAreEachCountedOnce) {
  auto hits = survivor();
  for (int i = 1; i <= 5; ++i) {
    std::thread{[&] { hits.add(10); }}.join();
    EXPECT_EQ(hits.pending(), 10);
    hits.flush();
    EXPECT_EQ(number(), 10 * i);
  }
  for (int i = 1; i <= 5; ++i) std::thread{[&] { hits.add(); }}.join();
  EXPECT_EQ(hits.value(), 55);
}

// ---- How many there may be ----

TEST_F(BufferedCounterSegmentTest, MoreThanThereIsRoomForAreRefusedUntilThereIsRoomAgain) {
  std::vector<BufferedCounter> all;
  for (std::size_t i = 0; i < most; ++i) all.push_back(survivor());
  EXPECT_THAT(refusal(), AllOf(HasSubstr("hits: all 512 places in /dev/shm/tandem."),
                               HasSubstr("are taken, by objects that live")));
  BufferedCounter const another_name{client(server_.url()), "others", by_hand};
  all.pop_back();
  EXPECT_EQ(refusal(), "none");
}

TEST_F(BufferedCounterSegmentTest, PlacesOfTheDeadAreFreedBeforeAnyIsRefused) {
  support::Shared<std::atomic<bool>> const full;
  Forked crowd{[&]() -> std::string {
    std::vector<BufferedCounter> all;
    Client const one{server_.url() + "?command_timeout=20s"};
    for (std::size_t i = 0; i < most; ++i) {
      all.emplace_back(one, "hits", by_hand);
      all.back().add();
    }
    *full = true;
    for (;;) ::pause();
  }};
  ASSERT_TRUE(eventually([&] { return full->load(); }));
  EXPECT_THAT(refusal(), HasSubstr("all 512 places"));
  EXPECT_EQ(number(), 0);
  kill(crowd);
  EXPECT_EQ(refusal(), "none");
  EXPECT_EQ(number(), static_cast<std::int64_t>(most));
}

// ---- What is refused ----

TEST_F(BufferedCounterSegmentTest, FileThatOthersMayWriteToIsRefused) {
  auto const path = path_of_hits();
  auto const hits = std::make_unique<BufferedCounter>(survivor());
  ASSERT_EQ(::chmod(path.c_str(), 0660), 0);
  EXPECT_THAT(refusal(), AllOf(HasSubstr(path), HasSubstr("with mode 660"),
                               HasSubstr("must be a file of user "), HasSubstr("with mode 600")));
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  if (::geteuid() == 0) {
    ASSERT_EQ(::chown(path.c_str(), 12345, 0), 0);
    EXPECT_THAT(refusal(), HasSubstr("it is of user 12345 with mode 600"));
    ASSERT_EQ(::chown(path.c_str(), 0, 0), 0);
  }
  EXPECT_EQ(refusal(), "none");
}

TEST_F(BufferedCounterSegmentTest, FileThatIsNoneOfTandemsIsRefusedAndLeftAsItIs) {
  auto const path = path_of_hits();
  auto const write = [&](std::string const& text) {
    std::filesystem::remove(path);
    std::ofstream{path} << text;
    ::chmod(path.c_str(), 0600);
  };
  for (std::string const text : {"", "tandem 1", "mine, and nobody else's"}) {
    write(text);
    EXPECT_THAT(refusal(),
                AllOf(HasSubstr(path), HasSubstr("not what this version of tandem writes "
                                                 "there; remove it")));
    EXPECT_EQ(std::filesystem::file_size(path), text.size());
  }
  std::filesystem::remove(path);
  std::filesystem::create_symlink("/dev/null", path);
  EXPECT_THAT(refusal(), HasSubstr("cannot open it: "));
  std::filesystem::remove(path);
  std::filesystem::create_directory(path);
  EXPECT_THAT(refusal(), HasSubstr("cannot open it: "));
  std::filesystem::remove(path);
  EXPECT_EQ(refusal(), "none");
}

TEST_F(BufferedCounterSegmentTest, PlaceThatMakesNoSenseIsToldAndNotCountedAndTheOthersAre) {
  auto const path = path_of_hits();
  auto const first = worker_that_adds(10);
  auto const second = worker_that_adds(200);
  {
    support::Descriptor const file{::open(path.c_str(), O_RDWR | O_CLOEXEC)};
    ASSERT_EQ(::pwrite(file.get(), "???", 3, 12 * 1024), 3);  // over the first one's name
  }
  kill(*first);
  kill(*second);
  {
    auto const hits = survivor();
    EXPECT_TRUE(becomes(200));
    EXPECT_TRUE(eventually(
        [&] { return reports_.have("in place 0, was not written by tandem; it is not counted"); }));
    await_look();
    EXPECT_THAT(reports_.texts(), SizeIs(1));
  }
  EXPECT_EQ(number(), 1'000'200);
  std::filesystem::remove(path);
}

TEST_F(BufferedCounterSegmentTest, FileWhoseLockSomebodyKeepsIsRefusedInTheEndAndAddsGoOn) {
  auto hits = survivor();
  auto const path = *own_files().begin();
  support::Descriptor const file{::open(path.c_str(), O_RDWR | O_CLOEXEC)};
  ASSERT_EQ(::flock(file.get(), LOCK_EX), 0);
  EXPECT_THAT(refusal(), AllOf(HasSubstr(path), HasSubstr("another process has kept it locked")));
  hits.add(5);
  hits.flush();
  EXPECT_EQ(number(), 5);
}

TEST_F(BufferedCounterSegmentTest, FileThatIsRemovedByHandIsMadeAnew) {
  auto hits = survivor();
  std::filesystem::remove(*own_files().begin());
  auto same = survivor();
  hits.add(1);
  same.add(2);
  hits.flush();
  same.flush();
  EXPECT_EQ(number(), 3);
}

TEST_F(BufferedCounterSegmentTest, NobodyIsEverInAFileThatHasGoneWithAnother) {
  auto const come_and_go = [&] {
    for (int i = 0; i < 300; ++i) {
      auto const hits = survivor();
      if (own_files().size() != 1)
        return "not in the file that others find, after " + std::to_string(i);
    }
    return std::string{"always"};
  };
  Forked one{come_and_go};
  Forked two{come_and_go};
  EXPECT_EQ(one.told(), "always");
  EXPECT_EQ(two.told(), "always");
}

TEST_F(BufferedCounterSegmentTest, WhereThereIsNoMemoryForItItIsRefused) {
  if (auto const why = Contained::refusal(Contained::Proc::own); !why.empty()) GTEST_SKIP() << why;
  EXPECT_THAT(
      (Contained{Contained::Proc::own,
                 [&]() -> std::string {
                   if (::mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=64k") != 0)
                     return "cannot mount";
                   std::vector<BufferedCounter> some;
                   auto const told = text_of<Error>([&] {
                     for (int i = 0; i < 10; ++i) some.push_back(survivor());
                   });
                   for (auto& each : some) each.add();  // they have all theirs
                   return told + "; " + std::to_string(some.size());
                 }}
           .told()),
      AllOf(HasSubstr("cannot have memory for it: No space left"), ::testing::EndsWith("; 3")));
}

TEST_F(BufferedCounterSegmentTest, WithoutDescriptorsItIsRefusedAndThenItWorks) {
  if (support::types_need_a_descriptor) GTEST_SKIP() << "the sanitizer's fault";
  auto const server = client(server_.url());
  std::string told;
  {
    support::NoMoreDescriptors const for_a_while;
    try {
      BufferedCounter const hits{server, "hits", by_hand};
    } catch (Error const& fault) {
      told = fault.what();
    }
  }
  EXPECT_THAT(told, HasSubstr("tandem: "));
  EXPECT_EQ(refusal(), "none");
}

// ---- Namespaces ----

TEST_F(BufferedCounterSegmentTest, ProcessOfAnotherPidNamespaceIsNotTakenForDead) {
  if (auto const why = Contained::refusal(Contained::Proc::own); !why.empty()) GTEST_SKIP() << why;
  struct Told {
    std::atomic<bool> is_added;
    char path[128];
  };
  support::Shared<Told> const told;
  {
    Contained const inside{Contained::Proc::own, [&]() -> std::string {
                             BufferedCounter hits{Client{server_.url()}, "hits", by_hand};
                             hits.add(10);
                             own_files().begin()->copy(told->path, sizeof told->path - 1);
                             told->is_added = true;
                             for (;;) ::pause();
                           }};
    ASSERT_TRUE(eventually([&] { return told->is_added.load(); }));
    await_look();
    EXPECT_EQ(number(), 1'000'000);
  }
  // Nobody out here can tell that it is dead now.
  await_look();
  EXPECT_EQ(number(), 2'000'000);
  EXPECT_TRUE(std::filesystem::remove(told->path));
}

TEST_F(BufferedCounterSegmentTest, ProcessThatCannotBeToldFromOthersIsRefused) {
  if (auto const why = Contained::refusal(Contained::Proc::outer); !why.empty())
    GTEST_SKIP() << why;
  EXPECT_THAT((Contained{Contained::Proc::outer,
                         [&] {
                           return text_of<Error>([&] {
                             BufferedCounter const hits{Client{server_.url()}, "hits", by_hand};
                           });
                         }}
                   .told()),
              HasSubstr("survive_crash needs a /proc that shows this process"));
}

}  // namespace
}  // namespace tandem

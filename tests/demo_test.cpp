// The demo: its parts, and the program itself run as a user runs it.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tandem/client.hpp>
#include <tandem/lock.hpp>
#include <tandem/shared_map.hpp>
#include <tandem/testing/redis_server.hpp>

#include "arguments.hpp"
#include "check.hpp"
#include "entries.hpp"
#include "log_file.hpp"
#include "report.hpp"
#include "support/fault_proxy.hpp"
#include "support/patience.hpp"
#include "support/scratch_folder.hpp"
#include "support/watched_process.hpp"
#include "tally.hpp"
#include "text.hpp"

namespace demo {
namespace {

using namespace std::chrono_literals;
using tandem::support::eventually;
using tandem::support::ScratchFolder;
using tandem::support::WatchedProcess;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class DemoFiles : public ::testing::Test {
 protected:
  std::string file(std::string const& name, std::string_view text) {
    std::ofstream{folder_.path(name), std::ios::binary} << text;
    return folder_.path(name);
  }
  [[nodiscard]] std::string path(std::string const& name) const { return folder_.path(name); }

 private:
  ScratchFolder folder_;
};

// -- the log --------------------------------------------------------------------------------------

using LogFileTest = DemoFiles;

TEST_F(LogFileTest, EveryLineIsInOneChunkWhateverTheirNumber) {
  using namespace std::string_view_literals;
  for (auto const text : {"one"sv, "one\n"sv, "\n"sv, "\n\n\n"sv, "a\nbb\n\nccc"sv, "\r\na\r\n"sv,
                          "\0\n\0\xff\n"sv, "a line that is longer than all chunks\nx\ny"sv}) {
    LogFile const log{file("log", text)};
    for (std::int64_t chunks = 1; chunks <= log.size() + 3; ++chunks) {
      std::string all;
      for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
        auto const lines = log.chunk(chunk, chunks);
        EXPECT_TRUE(lines.empty() || lines.back() == '\n' || (all + lines) == text) << chunks;
        all += lines;
      }
      EXPECT_EQ(all, text) << chunks;
    }
  }
}

TEST_F(LogFileTest, FindsTheEndOfALineFarBehindItsChunk) {
  auto const text = std::string(300'000, 'x') + "\nlast\n";
  LogFile const log{file("log", text)};
  EXPECT_EQ(log.chunk(0, 100), text.substr(0, 300'001));
  EXPECT_EQ(log.chunk(50, 100), "");
  EXPECT_EQ(log.lines(300'000, 300'002), "last\n");
}

TEST_F(LogFileTest, StaysAsLongAsItWasWhenItWasOpened) {
  auto const log_path = file("log", "one\ntw");
  LogFile const log{log_path};
  std::ofstream{log_path, std::ios::app} << "o\nthree\n";
  EXPECT_EQ(log.chunk(0, 1), "one\ntw");
  EXPECT_EQ(count_alone(log, Keys{log}).lines, 2);
}

TEST_F(LogFileTest, RefusesWhatIsNoFileWithSomethingInIt) {
  EXPECT_THROW(LogFile{path("missing")}, Refused);
  EXPECT_THROW(LogFile{path("")}, Refused);  // the folder itself
  EXPECT_THROW(LogFile{file("empty", "")}, Refused);
  EXPECT_THROW(LogFile{"/dev/null"}, Refused);
}

// -- the tally ------------------------------------------------------------------------------------

using KeysTest = DemoFiles;

TEST_F(KeysTest, AreDayAndActionOfADatedLineAndTheWordsOfAnyOther) {
  LogFile const log{file("log",
                         "2026-11-23 15:00:00 install fish\n"
                         "2026-11-23 15:00:01 install chips\r\n"
                         "2026-11-23 half past three\n"
                         " \t\n"
                         "fish and  chips")};
  EXPECT_THAT(count_alone(log, Keys{log}).tally,
              ElementsAre(std::pair{"(blank line)", 1}, std::pair{"2026-11-23", 1},
                          std::pair{"2026-11-23 install", 2}, std::pair{"and", 1},
                          std::pair{"chips", 1}, std::pair{"fish", 1}, std::pair{"half", 1},
                          std::pair{"past", 1}, std::pair{"three", 1}));
}

TEST_F(KeysTest, AreNeverMoreThanTheMostAndTheOthers) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += fmt::format("common word{}\n", i);
  LogFile const log{file("log", text)};
  auto const alone = count_alone(log, Keys{log});
  EXPECT_EQ(alone.tally.size(), Keys::most + 1);
  EXPECT_EQ(alone.tally.at("common"), 1000);
  EXPECT_EQ(alone.tally.at(std::string{Keys::others}), 1000 - static_cast<int>(Keys::most) + 1);
}

TEST(CountTest, CountsAChunkOnce) {
  Count count;
  count.add(3, 10);
  count.add(0, 5);
  count.add(3, 10);
  EXPECT_EQ(count.times, 15);
  auto const again = tandem::Codec<Count>::decode(tandem::Codec<Count>::encode(count));
  EXPECT_EQ(again.times, 15);
  EXPECT_EQ(again.chunks, "#..#");
  EXPECT_THROW((void)tandem::Codec<Count>::decode("15"), tandem::CodecError);
}

// -- the report -----------------------------------------------------------------------------------

TEST(ReportTest, IsTornWhenTwoWriteItAtOnce) {
  tandem::testing::RedisServer const server;
  tandem::Client const redis{server.url()};
  auto const one = tandem::Lock{redis, "one"}.acquire();
  auto const other = tandem::Lock{redis, "other"}.acquire();

  Report report;
  EXPECT_TRUE(report.state().whole);
  report.write(one, {"a line"});
  EXPECT_TRUE(report.state().whole);
  EXPECT_EQ(report.state().fence, one.fence());

  EXPECT_TRUE(eventually([&] {  // the threads may also happen to write one after the other
    std::thread meanwhile{[&] { report.write(other, {"another"}); }};
    report.write(one, {"a line"});
    meanwhile.join();
    return !report.state().whole;
  }));
}

// -- the check ------------------------------------------------------------------------------------

class CheckTest : public ::testing::Test {
 protected:
  static Moment at(int second) { return Moment{std::chrono::seconds{second}}; }
  static Holding held(int from, int to) {
    return {.worker = 1, .state = Holding::State::ended, .begin = at(from), .end = at(to)};
  }

  [[nodiscard]] std::vector<std::string> check() const {
    return disagreements(record_, {{{"a", 3}, {"b", 1}}, 4}, 2);
  }

  Record record_{.tally = {{"a", {3, "##"}}, {"b", {1, ".#"}}},
                 .finished = {{0, {1, 1}}, {1, {2, 3}}},
                 .holdings = {{7, held(0, 1)}, {8, {.worker = 2, .begin = at(1)}}, {9, held(5, 6)}},
                 .periods = {{2, 3}, {4, 1}},
                 .killing = Killing{.worker = 2, .pid = 1, .fence = 8, .moment = at(4)}};
};

TEST_F(CheckTest, HasNothingToSayWhenAllAgrees) { EXPECT_THAT(check(), IsEmpty()); }

TEST_F(CheckTest, NamesAKeyThatWasCountedWrong) {
  record_.tally["a"].times = 4;
  EXPECT_THAT(check(), ElementsAre("'a' was counted 4 times, not 3"));
}

TEST_F(CheckTest, NamesAKeyThatIsMissing) {
  record_.tally.erase("b");
  EXPECT_THAT(check(), ElementsAre("'b' was counted 0 times, not 1"));
}

TEST_F(CheckTest, NamesAKeyThatDoesNotBelong) {
  record_.tally["c"].times = 1;
  EXPECT_THAT(check(), ElementsAre("'c' was counted 1 times, and is not in the file"));
}

TEST_F(CheckTest, NoticesLinesLostAndChunksUnfinished) {
  record_.finished.erase(1);
  EXPECT_THAT(check(), ElementsAre("chunk 1 was not finished", "1 lines were counted, not 4"));
}

TEST_F(CheckTest, NoticesAChunkThatDoesNotBelong) {
  record_.finished[5] = {1, 0};
  EXPECT_THAT(check(), ElementsAre("3 chunks were finished, of 2"));
}

TEST_F(CheckTest, NoticesAPeriodThatCountedWrong) {
  record_.periods.rbegin()->second = 2;
  EXPECT_THAT(check(), ElementsAre("the periods have 5 lines in all, not 4"));
}

TEST_F(CheckTest, NoticesAHoldThatBeganBeforeTheOneBeforeHadEnded) {
  record_.holdings[7].end = at(2);
  EXPECT_THAT(check(),
              ElementsAre("the hold with fence 8 began 1.00 s before that with fence 7 had ended"));
}

TEST_F(CheckTest, NoticesAHoldThatBeganBeforeItsKilledHolderWasDead) {
  record_.holdings[9].begin = at(3);
  EXPECT_THAT(check(),
              ElementsAre("the hold with fence 9 began 1.00 s before that with fence 8 had ended"));
}

TEST_F(CheckTest, WantsToSeeAKillingAndARecovery) {
  record_.holdings.erase(9);
  EXPECT_THAT(check(), ElementsAre("nobody got the lock after its holder was killed"));
  record_.killing.reset();
  EXPECT_THAT(check(), ElementsAre("no worker was killed while it held the lock"));
}

// -- words ----------------------------------------------------------------------------------------

TEST(TextTest, GroupsDigits) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1'000), "1,000");
  EXPECT_EQ(grouped(-123'456), "-123,456");
  EXPECT_EQ(grouped(1'234'567), "1,234,567");
}

TEST(TextTest, ShowsWhatCannotBePrinted) {
  EXPECT_EQ(printable(std::string_view{"a\0b\x1b[1m\xff", 8}), "a\\x00b\\x1b[1m\\xff");
}

TEST(TextTest, CutsAtCharactersNotAtBytes) {
  EXPECT_EQ(fitted("caf\xc3\xa9!", 4), "caf\xc3\xa9");
  EXPECT_EQ(fitted("caf\xc3\xa9!", 9), "caf\xc3\xa9!");
}

TEST(ArgumentsTest, AreAFileAndOptions) {
  char const* const words[] = {"tandem-demo", "--workers=3", "a file", "--redis", "redis://x"};
  auto const wanted = Arguments::from(5, words);
  EXPECT_EQ(wanted.file, "a file");
  EXPECT_EQ(wanted.redis, "redis://x");
  EXPECT_EQ(wanted.workers, 3);
}

TEST(ArgumentsTest, RefuseWhatTheyDoNotKnow) {
  for (auto const* word : {"--nonsense", "-x", "--redis", "--workers=1", "--workers=65",
                           "--workers=3x", "--workers", ""}) {
    char const* const words[] = {"tandem-demo", word};
    EXPECT_THROW((void)Arguments::from(2, words), Refused) << word;
  }
}

// -- the program ----------------------------------------------------------------------------------

/// tandem-demo, running. What it writes is kept; its TMPDIR is a folder of its own, so that nothing
/// it leaves is missed.
class RunningDemo {
 public:
  enum class Output { file, terminal };

  explicit RunningDemo(std::vector<std::string> arguments, Output output = Output::file) {
    std::filesystem::create_directory(folder_.path("tmp"));
    arguments.insert(arguments.begin(), TANDEM_DEMO);
    std::vector<char*> words;
    words.reserve(arguments.size() + 1);
    for (auto& word : arguments) words.push_back(word.data());
    words.push_back(nullptr);

    winsize size{24, 80, 0, 0};
    pid_ = output == Output::terminal ? ::forkpty(&terminal_, nullptr, nullptr, &size) : ::fork();
    if (pid_ < 0) throw std::system_error{errno, std::generic_category(), "fork"};
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::setenv("TMPDIR", folder_.path("tmp").c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
    ::setenv("TERM", "xterm", 1);                        // NOLINT(concurrency-mt-unsafe)
    if (output == Output::file) {
      auto const file =
          ::open(folder_.path("output").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
      ::dup2(file, STDOUT_FILENO);
      ::dup2(file, STDERR_FILENO);
    }
    ::execv(words[0], words.data());
    ::_exit(127);
  }
  RunningDemo(RunningDemo const&) = delete;
  RunningDemo& operator=(RunningDemo const&) = delete;
  ~RunningDemo() {
    if (running()) signal(SIGKILL);
    (void)status();
    if (terminal_ >= 0) ::close(terminal_);
  }

  [[nodiscard]] pid_t pid() const { return pid_; }
  void signal(int number) const { ::kill(pid_, number); }
  void type(char key) const { EXPECT_EQ(::write(terminal_, &key, 1), 1); }

  /// How it ended, as a shell says it; waits for that.
  int status() {
    if (!status_) {
      if (terminal_ >= 0) {
        while (read_terminal(60s)) {  // else it would wait for somebody to read
        }
      }
      int raw = 0;
      while (::waitpid(pid_, &raw, 0) < 0 && errno == EINTR) {
      }
      status_ = WIFSIGNALED(raw) ? 128 + WTERMSIG(raw) : WEXITSTATUS(raw);
    }
    return *status_;
  }

  /// What it has written so far.
  std::string text() {
    if (terminal_ >= 0) {
      while (read_terminal(0ms)) {
      }
      return typed_;
    }
    std::ostringstream all;
    all << std::ifstream{folder_.path("output")}.rdbuf();
    return all.str();
  }

  [[nodiscard]] bool has_left_nothing() const {
    return std::filesystem::is_empty(folder_.path("tmp"));
  }

  /// All its children, each watched: its workers, and the keeper of its server.
  [[nodiscard]] std::vector<pid_t> children() const {
    std::vector<pid_t> found;
    for (auto const& entry : std::filesystem::directory_iterator{"/proc"}) {
      auto const pid = std::atoi(entry.path().filename().c_str());
      if (pid > 0 && tandem::support::ProcessFacts{pid}.parent() == pid_) found.push_back(pid);
    }
    return found;
  }

 private:
  [[nodiscard]] bool running() const { return !status_; }

  bool read_terminal(std::chrono::milliseconds patience) {
    pollfd event{terminal_, POLLIN, 0};
    if (::poll(&event, 1, static_cast<int>(patience.count())) != 1) return false;
    char buffer[4096];
    auto const count = ::read(terminal_, buffer, sizeof buffer);
    if (count <= 0) return false;  // EIO: nobody has the other end any more
    typed_.append(buffer, static_cast<std::size_t>(count));
    return true;
  }

  ScratchFolder folder_{};
  pid_t pid_ = -1;
  int terminal_ = -1;
  std::string typed_{};
  std::optional<int> status_{};
};

class DemoTest : public DemoFiles {
 protected:
  std::string small_log() {
    std::string text;
    for (int i = 0; i < 500; ++i)
      text += fmt::format("2026-11-2{} 15:00:00 {} fish\n", i % 3, i % 2 ? "install" : "status");
    return file("small.log", text);
  }

  static constexpr auto agreement =
      "All numbers agree with what one process counts alone: 6 keys and 500 lines.\n";
};

TEST_F(DemoTest, AgreesWithOneProcessThoughAWorkerWasKilled) {
  RunningDemo demo{{small_log()}};
  EXPECT_EQ(demo.status(), 0) << demo.text();
  EXPECT_THAT(demo.text(), HasSubstr(agreement));
  EXPECT_THAT(demo.text(), HasSubstr("kill -9 of worker"));
  EXPECT_THAT(demo.text(), Not(HasSubstr("\x1b"))) << "no escape codes in a file";
  EXPECT_TRUE(demo.has_left_nothing());
}

TEST_F(DemoTest, FailsWhenANumberIsWrongAndNamesIt) {
  tandem::testing::RedisServer const server;
  tandem::Client redis{server.url()};
  RunningDemo demo{{small_log(), "--redis", server.url()}};

  std::string tally;
  ASSERT_TRUE(eventually([&] {
    for (auto const& key :
         redis.command("KEYS", "tandem-demo:*:tally").as<std::vector<std::string>>())
      tally = key;
    return !tally.empty();
  }));
  tandem::SharedMap<std::string, Count>{redis, tally}.update("2026-11-21 install",
                                                             [](std::optional<Count> count) {
                                                               auto wrong = count.value_or(Count{});
                                                               ++wrong.times;
                                                               return wrong;
                                                             });

  EXPECT_EQ(demo.status(), 1);
  EXPECT_THAT(demo.text(),
              HasSubstr("NOT AS IT MUST BE: 1 disagreement\n  '2026-11-21 install' was counted "));
}

TEST_F(DemoTest, LeavesNoKeyOnAServerThatIsNotItsOwn) {
  tandem::testing::RedisServer const server;
  tandem::Client redis{server.url()};
  redis.command("SET", "somebody's", "else");
  RunningDemo demo{{small_log(), "--redis", server.url(), "--workers", "3"}};
  EXPECT_EQ(demo.status(), 0);
  EXPECT_THAT(redis.command("KEYS", "*").as<std::vector<std::string>>(), ElementsAre("somebody's"));
}

TEST_F(DemoTest, CountsRightThoughAnswersAreLost) {
  using Fault = tandem::support::FaultProxy::Fault;
  tandem::testing::RedisServer const server;
  tandem::support::FaultProxy proxy{server};
  RunningDemo demo{{small_log(), "--redis", proxy.url()}};
  ASSERT_TRUE(eventually([&] { return demo.text().find("chunks") != std::string::npos; }));
  for (int i = 0; i < 20; ++i) {
    for (auto const* command : {"EVALSHA", "HSET", "HSETNX", "HGET"})
      proxy.next(command, Fault::cut_after_request);
    std::this_thread::sleep_for(
        100ms);  // not all upon the same one: who is hit for seconds gives up
  }
  EXPECT_EQ(demo.status(), 0) << demo.text();
  EXPECT_THAT(demo.text(), HasSubstr(agreement));
}

TEST_F(DemoTest, FailsLoudlyWhenWhatCannotBeRepeatedIsInDoubt) {
  tandem::testing::RedisServer const server;
  tandem::support::FaultProxy proxy{server};
  RunningDemo demo{{small_log(), "--redis", proxy.url()}};
  // Half of these meet the handing out of a chunk, which can.
  ASSERT_TRUE(eventually([&] {
    proxy.next("INCRBY", tandem::support::FaultProxy::Fault::cut_after_request);
    return demo.text().find("gave up") != std::string::npos;
  }));
  EXPECT_EQ(demo.status(), 1);
  EXPECT_THAT(demo.text(), Not(HasSubstr("agree")));
}

TEST_F(DemoTest, LeavesNothingBehindWhenItIsKilled) {
  RunningDemo demo{{small_log()}};
  ASSERT_TRUE(eventually([&] { return demo.text().find("chunks") != std::string::npos; }));
  std::vector<std::unique_ptr<WatchedProcess>> children;
  for (auto const pid : demo.children()) children.push_back(std::make_unique<WatchedProcess>(pid));
  EXPECT_GE(children.size(), 8);

  demo.signal(SIGKILL);
  EXPECT_EQ(demo.status(), 128 + SIGKILL);
  for (auto const& child : children) EXPECT_TRUE(child->ends_within(20s));
  EXPECT_TRUE(eventually([&] { return demo.has_left_nothing(); }));
}

TEST_F(DemoTest, LeavesNothingBehindWhenItIsAskedToStop) {
  tandem::testing::RedisServer const server;
  tandem::Client redis{server.url()};
  RunningDemo demo{{small_log(), "--redis", server.url()}};
  ASSERT_TRUE(eventually([&] { return redis.command("DBSIZE").as<int>() > 3; }));
  demo.signal(SIGTERM);
  EXPECT_EQ(demo.status(), 128 + SIGTERM);
  EXPECT_THAT(redis.command("KEYS", "*").as<std::vector<std::string>>(), IsEmpty());
}

TEST_F(DemoTest, DrawsAPictureOnATerminalAndGivesTheCursorBackOnControlC) {
  RunningDemo demo{{small_log()}, RunningDemo::Output::terminal};
  ASSERT_TRUE(eventually([&] { return demo.text().find("holds the lock") != std::string::npos; }));
  demo.type('\x03');
  EXPECT_EQ(demo.status(), 128 + SIGINT);

  auto const text = demo.text();
  auto const hidden = text.rfind("\x1b[?25l");
  auto const shown = text.rfind("\x1b[?25h");
  ASSERT_NE(hidden, std::string::npos);
  ASSERT_NE(shown, std::string::npos);
  EXPECT_LT(hidden, shown);
  EXPECT_TRUE(demo.has_left_nothing());
}

TEST_F(DemoTest, EndsWithStatus2WhereItCannotBegin) {
  for (auto const& words :
       std::vector<std::vector<std::string>>{{path("missing")},
                                             {file("empty", "")},
                                             {"/dev/null"},
                                             {"--nonsense"},
                                             {small_log(), "--redis", "ftp://x"},
                                             {small_log(), "--redis", "unix://" + path("none")}}) {
    RunningDemo demo{words};
    EXPECT_EQ(demo.status(), 2) << words.back();
    EXPECT_THAT(demo.text(), ::testing::StartsWith("tandem-demo: ")) << words.back();
    EXPECT_EQ(std::ranges::count(demo.text(), '\n'), 1) << words.back();
  }
}

}  // namespace
}  // namespace demo

// tandem-demo: several processes count the lines of a log together, through Redis; one is killed on
// the way, and at the end every number is compared with what a single process counts.
#include <clocale>
#include <csignal>
#include <cstdio>
#include <exception>

#include "arguments.hpp"
#include "log_file.hpp"
#include "run.hpp"

int main(int argc, char** argv) {
  // What a terminal can show. NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread
  std::setlocale(LC_CTYPE, "");
  try {
    auto const arguments = demo::Arguments::from(argc, argv);
    if (arguments.help) {
      std::fputs(demo::help_text, stdout);
      return 0;
    }
    return demo::run(arguments) ? 0 : 1;
  } catch (demo::Refused const& refusal) {
    std::fprintf(stderr, "tandem-demo: %s\n", refusal.what());
    return 2;
  } catch (demo::Interrupted const& stop) {
    std::signal(stop.signal, SIG_DFL);
    return std::raise(stop.signal);  // so that the shell sees what it was
  } catch (std::exception const& error) {
    std::fprintf(stderr, "tandem-demo: %s\n", error.what());
    return 1;
  }
}

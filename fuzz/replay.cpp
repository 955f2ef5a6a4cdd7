// replay FILE_OR_FOLDER...: gives each file to the target that this is linked with, as libFuzzer
// would. So what the corpus holds stays right with every compiler, and the target cannot rot.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "target.hpp"

namespace {

namespace fs = std::filesystem;

void replay(fs::path const& file) {
  std::ifstream in{file, std::ios::binary};
  std::string const bytes{std::istreambuf_iterator<char>{in}, {}};
  LLVMFuzzerTestOneInput(reinterpret_cast<std::uint8_t const*>(bytes.data()), bytes.size());
}

}  // namespace

int main(int argc, char** argv) {
  int count = 0;
  for (auto const& each : std::vector<std::string>{argv + 1, argv + argc}) {
    std::vector<fs::path> files{each};
    if (fs::is_directory(each)) files.assign(fs::directory_iterator{each}, {});
    for (auto const& file : files) {
      std::printf("%s\n", file.c_str());
      std::fflush(stdout);  // before what may be the last thing this program does
      replay(file);
      ++count;
    }
  }
  std::printf("%d inputs\n", count);
  return count > 0 ? 0 : 1;
}

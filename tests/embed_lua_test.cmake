# Shows that configuring stops at a script whose header and body disagree.
#   cmake -D root=... -D scratch=... -P tests/embed_lua_test.cmake
cmake_minimum_required(VERSION 3.25)
set(failures "")

# judge(<fails|passes> <script text>)
function(judge expected text)
  file(WRITE "${scratch}/embed/script.lua" "-- noun/verb: a test.\n${text}\n")
  file(WRITE "${scratch}/embed/check.cmake" "cmake_minimum_required(VERSION 3.25)\n"
    "include(\"${root}/cmake/EmbedLua.cmake\")\n"
    "file(READ \"${scratch}/embed/script.lua\" source)\n"
    "tandem_check_lua_header(script.lua \"\${source}\")\n")
  execute_process(COMMAND ${CMAKE_COMMAND} -P "${scratch}/embed/check.cmake"
    RESULT_VARIABLE result OUTPUT_QUIET ERROR_QUIET)
  set(seen fails)
  if(result EQUAL 0)
    set(seen passes)
  endif()
  if(NOT seen STREQUAL expected)
    set(failures "${failures}${seen}, should have been otherwise:\n${text}\n" PARENT_SCOPE)
  endif()
endfunction()

judge(passes "return 1")
judge(passes "-- KEYS[1]  key  string\n-- ARGV[1]  token  string\nreturn redis.call('SET', KEYS[1], ARGV[1])")
judge(passes "-- KEYS[1]  key\n-- ARGV[1..]  fields\nreturn redis.call('HDEL', KEYS[1], unpack(ARGV))")
judge(passes "-- KEYS[1..]  keys\nfor i = 1, #KEYS do redis.call('DEL', KEYS[i]) end")
judge(passes "-- KEYS[1]  key\nreturn KEYS[1] -- and never KEYS[2]")
judge(fails "return redis.call('GET', KEYS[1])")
judge(fails "-- KEYS[1]  key\n-- ARGV[1]  token\nreturn redis.call('GET', KEYS[1])")
judge(fails "-- KEYS[1]  key\nreturn redis.call('SET', KEYS[1], ARGV[1])")
judge(fails "-- KEYS[1]  key\nreturn redis.call('SET', KEYS[2], 1)")
judge(fails "-- KEYS[1]  key\nreturn redis.call('DEL', KEYS[1], unpack(ARGV))")
if(failures)
  message(FATAL_ERROR "cmake/EmbedLua.cmake judged wrongly:\n${failures}")
endif()

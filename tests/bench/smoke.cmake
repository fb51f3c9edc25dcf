# Runs engine_bench with tiny counts and checks that it ends well and that its JSON is well-formed:
#     cmake -DBENCH="command;list" -DJSON=file [-DBACKEND=epoll] -P smoke.cmake
execute_process(
    COMMAND ${BENCH} --backend ${BACKEND} --rounds 3 --iterations 100 --json ${JSON}
    RESULT_VARIABLE code)
if(NOT code EQUAL 0)
    message(FATAL_ERROR "engine_bench ended with ${code}")
endif()
file(READ ${JSON} text)
string(JSON count LENGTH "${text}" cases)
if(NOT count EQUAL 6)
    message(FATAL_ERROR "${JSON}: ${count} cases instead of 6")
endif()
math(EXPR last "${count} - 1")
foreach(index RANGE ${last})
    string(JSON name GET "${text}" cases ${index} case)
    string(JSON median GET "${text}" cases ${index} ratio median)
    string(JSON rounds LENGTH "${text}" cases ${index} engine wall_ns_per_unit)
    if(NOT median GREATER 0 OR NOT rounds EQUAL 3)
        message(FATAL_ERROR "${JSON}: ${name} has ratio ${median} over ${rounds} rounds")
    endif()
endforeach()
message(STATUS "${count} cases, ${JSON} is well-formed")

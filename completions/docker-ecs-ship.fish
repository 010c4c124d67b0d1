# fish completion for docker-ecs-ship
#
# It asks the program itself: `docker-ecs-ship __complete WORDS…` answers a candidate a line and, last,
# a directive (spf13/cobra's protocol).

function __docker_ecs_ship_complete
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    set -l answer ($words[1] __complete $words[2..-1] "$typed" 2>/dev/null)
    or return
    set -l directive $answer[-1]
    set -l candidates $answer[1..-2]

    # fish wants the flag back before the values of `--flag=`.
    set -l flag ''
    set -l value "$typed"
    if string match -q -- '--*=*' "$typed"
        set flag (string replace -r -- '=.*' '=' "$typed")
        set value (string replace -r -- '^[^=]*=' '' "$typed")
    end

    switch $directive
        case ':8'
            for ending in $candidates
                for path in (__fish_complete_suffix "$value" ".$ending")
                    printf '%s%s\n' $flag $path
                end
            end
        case ':16'
            for path in (__fish_complete_directories "$value" '')
                printf '%s%s\n' $flag $path
            end
        case '*'
            if test $directive = ':0' -a (count $candidates) -eq 0
                for path in (__fish_complete_path "$value")
                    printf '%s%s\n' $flag $path
                end
            end
            for candidate in $candidates
                printf '%s%s\n' $flag $candidate
            end
    end
end

complete -c docker-ecs-ship -e
complete -c docker-ecs-ship -f -k -a '(__docker_ecs_ship_complete)'

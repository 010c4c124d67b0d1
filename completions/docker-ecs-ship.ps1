# PowerShell completion for docker-ecs-ship
#
# It asks the program itself: `docker-ecs-ship __complete WORDS…` answers a candidate a line and, last,
# a directive (spf13/cobra's protocol). Load it from your profile:
#
#     docker-ecs-ship completion powershell | Out-String | Invoke-Expression

Register-ArgumentCompleter -Native -CommandName 'docker-ecs-ship' -ScriptBlock {
    param($typed, $command, $cursor)

    $words = @($command.CommandElements | Where-Object { $_.Extent.EndOffset -le $cursor } | ForEach-Object { $_.ToString() })
    $program, $before = $words
    $before = @($before)
    # The word being typed is the last of them, unless the cursor stands after a space.
    if ($typed -ne '' -and $before.Count -gt 0) {
        $before = @($before | Select-Object -SkipLast 1)
    }
    $last = $typed
    # Windows PowerShell and PowerShell before 7.3 drop an empty argument.
    if ($last -eq '' -and $PSVersionTable.PSVersion -lt [version]'7.3') {
        $last = '""'
    }

    $answer = @(& $program __complete @before $last 2>$null)
    if ($answer.Count -eq 0) { return }
    $directive = $answer[-1]
    $candidates = @($answer | Select-Object -SkipLast 1)

    # PowerShell replaces the whole word, so the flag of `--flag=` has to come back.
    $flag = ''
    if ($typed -match '^(--[^=]+=)') { $flag = $Matches[1] }

    # Files and folders: an empty answer makes PowerShell complete paths by itself.
    if ($directive -eq ':8' -or $directive -eq ':16') { return }

    foreach ($candidate in $candidates) {
        $value, $description = $candidate -split "`t", 2
        if (-not $description) { $description = $value }
        [System.Management.Automation.CompletionResult]::new("$flag$value", $value, 'ParameterValue', $description)
    }
}
